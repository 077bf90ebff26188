# The builder and its AMI. On localcloud the same block is used; only endpoint, subnet and credentials differ.
source "amazon-ebs" "worker" {
  region        = var.region
  instance_type = local.instance_type
  subnet_id     = var.subnet_id != "" ? var.subnet_id : null
  spot_price    = var.spot ? "auto" : null

  custom_endpoint_ec2        = local.localcloud ? var.ec2_endpoint : null
  skip_credential_validation = local.localcloud

  # Amazon's account ID: anybody could publish an AMI with such a name.
  source_ami_filter {
    owners      = ["137112412989"]
    most_recent = true
    filters = {
      name                = "al2023-ami-2023.*-kernel-${var.source_image_kernel}-${var.architecture}"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
  }

  iam_instance_profile = var.instance_profile != "" ? var.instance_profile : null

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  communicator                          = "ssh"
  ssh_username                          = "ec2-user"
  ssh_interface                         = var.access.session_manager ? "session_manager" : null
  ssh_timeout                           = "${var.ssh_timeout}s"
  ssh_clear_authorized_keys             = true
  temporary_key_pair_type               = "ed25519"
  temporary_security_group_source_cidrs = length(var.access.cidrs) > 0 ? var.access.cidrs : ["127.0.0.1/32"]

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    volume_size           = var.volume_size_gib
    iops                  = 3000
    throughput            = 125
    encrypted             = true
    kms_key_id            = var.distribution.kms_key_id != "" ? var.distribution.kms_key_id : null
    delete_on_termination = true
  }

  ami_name        = local.image_name
  ami_description = "GhostHands worker (Amazon Linux 2023, ${var.architecture})"
  imds_support    = "v2.0"
  deprecate_at    = local.deprecate_at

  # Copies are encrypted with the other region's key. In the build's own region the volume's encryption is enough.
  ami_regions        = keys(var.distribution.regions)
  encrypt_boot       = length(var.distribution.regions) > 0 ? true : null
  kms_key_id         = length(var.distribution.regions) > 0 && var.distribution.kms_key_id != "" ? var.distribution.kms_key_id : null
  region_kms_key_ids = var.distribution.regions
  ami_users          = var.distribution.accounts
  snapshot_users     = var.distribution.accounts

  tags            = local.lineage
  snapshot_tags   = local.lineage
  run_tags        = merge(var.tags, { "Name" = "gh-golden-ami-builder" })
  run_volume_tags = merge(var.tags, { "Name" = "gh-golden-ami-builder" })
}
