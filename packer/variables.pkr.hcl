# The operator's options. Set them on the command line (-var), in the environment (PKR_VAR_name) or in your own *.auto.pkrvars.hcl.

# --- The image -----------------------------------------------------------------------------------------------------------------

variable "architecture" {
  type        = string
  description = "x86_64 or arm64; selects the source image and, unless instance_type is set, the builder's instance type."
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "The variable architecture must be x86_64 or arm64."
  }
}

variable "source_image_kernel" {
  type        = string
  description = "Kernel version of the Amazon Linux 2023 source image (pinned in release.auto.pkrvars.hcl). Amazon publishes images with several."

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+$", var.source_image_kernel))
    error_message = "The variable source_image_kernel must be a kernel version, such as 6.1."
  }
}

variable "worker_image" {
  type        = string
  description = "The worker image to bake in, by digest: 123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands@sha256:... If empty, instances pull it at boot."
  default     = ""

  validation {
    condition     = var.worker_image == "" || can(regex("^[^@[:space:]]+@sha256:[0-9a-f]{64}$", var.worker_image))
    error_message = "The variable worker_image must name an image by digest (registry/name@sha256:...): a tag can be moved."
  }
}

variable "image_name_prefix" {
  type        = string
  description = "The AMI is named PREFIX-YYYYMMDDhhmmss-xxxxxxxx, which fleet_image_name_pattern must match."
  default     = "gh-worker"

  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9-]{0,99}$", var.image_name_prefix))
    error_message = "The variable image_name_prefix must consist of letters, digits and dashes, at most 100."
  }
}

variable "git_revision" {
  type        = string
  description = "The Git commit of this kit, a tag of the AMI. `make image` sets it."
  default     = "unknown"
}

variable "tags" {
  type        = map(string)
  description = "Further tags of the AMI, its snapshots and the builder."
  default     = { Project = "wekruit" }
}

variable "deprecate_after_days" {
  type        = number
  description = "Days after which EC2 marks the AMI as deprecated. Launch templates that use it continue to work."
  default     = 90

  validation {
    condition     = var.deprecate_after_days >= 1 && var.deprecate_after_days <= 3650
    error_message = "The variable deprecate_after_days must be between 1 and 3650 (EC2 allows ten years at most)."
  }
}

# --- Distribution --------------------------------------------------------------------------------------------------------------

variable "distribution" {
  type = object({
    kms_key_id = string
    accounts   = list(string)
    regions    = map(string)
  })
  description = "kms_key_id: the customer managed key that encrypts the AMI (if empty, the account's default key). accounts: accounts that may launch it. regions: further regions, each with its key there (if empty, that region's default key)."
  default     = { kms_key_id = "", accounts = [], regions = {} }

  validation {
    condition     = length([for account in var.distribution.accounts : account if !can(regex("^[0-9]{12}$", account))]) == 0
    error_message = "The variable distribution.accounts must list account IDs of 12 digits."
  }
  validation {
    condition     = length(var.distribution.accounts) == 0 || var.distribution.kms_key_id != ""
    error_message = "The variable distribution.accounts needs distribution.kms_key_id: snapshots under an account's default key cannot be shared."
  }
  validation {
    condition     = length(var.distribution.accounts) == 0 || length([for key in values(var.distribution.regions) : key if key == ""]) == 0
    error_message = "The variable distribution.regions needs a key for every region if distribution.accounts is set: snapshots under a default key cannot be shared."
  }
}

# --- The builder ---------------------------------------------------------------------------------------------------------------

variable "region" {
  type        = string
  description = "The region that the AMI is built in."
  default     = "us-east-1"
}

variable "subnet_id" {
  type        = string
  description = "The builder's subnet. If empty, a default subnet of the region. It needs internet access, or mirrors that you configure."
  default     = ""
}

variable "instance_type" {
  type        = string
  description = "The builder's instance type. If empty, t3.large, or t4g.large for arm64."
  default     = ""
}

variable "spot" {
  type        = bool
  description = "Use a Spot Instance as the builder: cheaper, but it may be interrupted."
  default     = false
}

variable "volume_size_gib" {
  type        = number
  description = "Size of the root volume, in GiB; fleet_volume_size_gib cannot be smaller."
  default     = 40

  validation {
    condition     = var.volume_size_gib >= 8 && var.volume_size_gib <= 16384
    error_message = "The variable volume_size_gib must be between 8 (the source image) and 16384."
  }
}

variable "instance_profile" {
  type        = string
  description = "The builder's instance profile. Needed to pull worker_image from ECR, and for session_manager."
  default     = ""
}

# --- Access to the builder -----------------------------------------------------------------------------------------------------

variable "access" {
  type = object({
    session_manager = bool
    cidrs           = list(string)
  })
  description = "session_manager: connect through Session Manager (needs instance_profile, and the session-manager-plugin on this machine). cidrs: otherwise, networks that may connect to port 22, such as [\"203.0.113.7/32\"]."
  default     = { session_manager = false, cidrs = [] }

  validation {
    condition     = var.access.session_manager || length(var.access.cidrs) > 0
    error_message = "The variable access must say how Packer connects to the builder: access.cidrs (your IP address as a.b.c.d/32) or access.session_manager = true. Port 22 is never opened to the internet."
  }
  validation {
    condition     = length([for cidr in var.access.cidrs : cidr if !can(cidrnetmask(cidr)) || can(regex("/0$", cidr))]) == 0
    error_message = "The variable access.cidrs must list IPv4 networks such as 203.0.113.7/32, but not the whole internet."
  }
}

variable "ssh_timeout" {
  type        = number
  description = "Seconds from the builder's launch until Packer must be able to log in. Types that start slowly (metal) need more."
  default     = 300

  validation {
    condition     = var.ssh_timeout >= 1 && var.ssh_timeout <= 3600
    error_message = "The variable ssh_timeout must be between 1 and 3600 seconds."
  }
}

# --- localcloud ----------------------------------------------------------------------------------------------------------------

variable "ec2_endpoint" {
  type        = string
  description = "The EC2 endpoint, for localcloud (`make image-local`). If empty, AWS's."
  default     = ""
}

variable "ansible" {
  type = object({
    command   = string
    variables = any
  })
  description = "command: the ansible-playbook to run. variables: further variables of playbooks/image.yml, such as docker_compose_url."
  default     = { command = "ansible-playbook", variables = {} }
}

# --- Pins (values: release.auto.pkrvars.hcl) -----------------------------------------------------------------------------------

variable "compose" {
  type = object({
    version = string
    sha256  = map(string)
  })
  description = "The Compose plugin: its version, and its SHA-256 checksums by architecture."
}

locals {
  stamp = formatdate("YYYYMMDDhhmmss", timestamp())
  # The random part distinguishes builds of the same second.
  image_name    = "${var.image_name_prefix}-${local.stamp}-${substr(uuidv4(), 0, 8)}"
  deprecate_at  = timeadd(timestamp(), "${var.deprecate_after_days * 24}h")
  instance_type = var.instance_type != "" ? var.instance_type : var.architecture == "arm64" ? "t4g.large" : "t3.large"
  localcloud     = var.ec2_endpoint != ""

  # The image's origin, readable without booting it. fleet_drift compares agent-schema with the SCHEMA of agent.conf.
  lineage = merge(var.tags, {
    "Name"                       = "gh-worker-golden"
    "ghosthands:agent-schema"    = "4"
    "ghosthands:git-revision"    = var.git_revision
    "ghosthands:compose-version" = var.compose.version
    "ghosthands:worker-image"    = var.worker_image != "" ? var.worker_image : "none"
    "ghosthands:source-image"    = "{{ .SourceAMI }}"
    "ghosthands:source-name"     = "{{ .SourceAMIName }}"
  })
}
