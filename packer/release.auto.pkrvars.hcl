# Pinned versions, and nothing else. The Compose plugin's checksums are those that Docker's official image uses.
source_image_kernel = "6.1"

compose = {
  version = "2.40.3"
  sha256 = {
    x86_64 = "dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372"
    arm64  = "d26373b19e89160546d15407516cc59f453030d9bc5b43ba7faf16f7b4980137"
  }
}
