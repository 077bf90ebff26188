# What an operator may say. Set them on the command line (-var), in the environment (PKR_VAR_name) or in a *.auto.pkrvars.hcl of your own.

# --- What is baked -------------------------------------------------------------------------------------------------------------

variable "architecture" {
  type        = string
  description = "x86_64 or arm64; decides the source image and, unless it is given, the builder's instance type."
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "The variable architecture has to be x86_64 or arm64."
  }
}

variable "source_image_kernel" {
  type        = string
  description = "Kernel line of the Amazon Linux 2023 image to start from (a pin: release.auto.pkrvars.hcl). Amazon publishes several side by side."

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+$", var.source_image_kernel))
    error_message = "The variable source_image_kernel has to be a kernel line, such as 6.1."
  }
}

variable "worker_image" {
  type        = string
  description = "The worker's image to pull while baking, by digest: 123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands@sha256:... Empty: instances pull it at boot."
  default     = ""

  validation {
    condition     = var.worker_image == "" || can(regex("^[^@[:space:]]+@sha256:[0-9a-f]{64}$", var.worker_image))
    error_message = "The variable worker_image has to name an image by digest (registry/name@sha256:...): a tag says something else tomorrow."
  }
}

variable "image_name_prefix" {
  type        = string
  description = "The image is called PREFIX-YYYYMMDDhhmmss-xxxxxxxx. fleet_image_name_pattern looks for it."
  default     = "gh-worker"

  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9-]{0,99}$", var.image_name_prefix))
    error_message = "The variable image_name_prefix has to consist of letters, digits and dashes, at most 100."
  }
}

variable "git_revision" {
  type        = string
  description = "The commit that is baked; a tag of the image. `make image` fills it in."
  default     = "unknown"
}

variable "tags" {
  type        = map(string)
  description = "More tags for the image, its snapshots and the builder."
  default     = { Project = "wekruit" }
}

variable "deprecate_after_days" {
  type        = number
  description = "From then on EC2 calls the image deprecated (launch templates that name it go on working)."
  default     = 90

  validation {
    condition     = var.deprecate_after_days >= 1 && var.deprecate_after_days <= 3650
    error_message = "The variable deprecate_after_days has to lie between 1 and 3650 (EC2 takes ten years at most)."
  }
}

# --- Who gets it ---------------------------------------------------------------------------------------------------------------

variable "distribution" {
  type = object({
    kms_key_id = string
    accounts   = list(string)
    regions    = map(string)
  })
  description = "kms_key_id: the customer key that encrypts the image (empty: the account's default key). accounts: who may launch it. regions: more regions, each with its key there (empty: the default key of that region)."
  default     = { kms_key_id = "", accounts = [], regions = {} }

  validation {
    condition     = length([for account in var.distribution.accounts : account if !can(regex("^[0-9]{12}$", account))]) == 0
    error_message = "The variable distribution.accounts has to list account numbers of 12 digits."
  }
  validation {
    condition     = length(var.distribution.accounts) == 0 || var.distribution.kms_key_id != ""
    error_message = "The variable distribution.accounts needs distribution.kms_key_id: snapshots under an account's default key cannot be shared."
  }
  validation {
    condition     = length(var.distribution.accounts) == 0 || length([for key in values(var.distribution.regions) : key if key == ""]) == 0
    error_message = "The variable distribution.regions needs a key for every region while distribution.accounts is given: snapshots under a default key cannot be shared."
  }
}

# --- Where it is baked ---------------------------------------------------------------------------------------------------------

variable "region" {
  type        = string
  description = "Where the image is baked, and lies first."
  default     = "us-east-1"
}

variable "subnet_id" {
  type        = string
  description = "The builder's subnet. Empty: a default subnet of the region. It has to reach the internet, or mirrors that you configure."
  default     = ""
}

variable "instance_type" {
  type        = string
  description = "The builder's type. Empty: t3.large, or t4g.large for arm64."
  default     = ""
}

variable "spot" {
  type        = bool
  description = "Whether the builder is a spot instance: cheaper, and may be taken away while it bakes."
  default     = false
}

variable "volume_size_gib" {
  type        = number
  description = "Size of the root volume; a fleet's fleet_volume_size_gib cannot be smaller."
  default     = 40

  validation {
    condition     = var.volume_size_gib >= 8 && var.volume_size_gib <= 16384
    error_message = "The variable volume_size_gib has to lie between 8 (the source image) and 16384."
  }
}

variable "instance_profile" {
  type        = string
  description = "Instance profile of the builder. Needed to pull worker_image from ECR, and for session_manager."
  default     = ""
}

# --- How the builder is reached ------------------------------------------------------------------------------------------------

variable "access" {
  type = object({
    session_manager = bool
    cidrs           = list(string)
  })
  description = "session_manager: reach the builder through Session Manager (needs instance_profile and the session-manager-plugin here). cidrs: else, who may reach its port 22, such as [\"203.0.113.7/32\"]."
  default     = { session_manager = false, cidrs = [] }

  validation {
    condition     = var.access.session_manager || length(var.access.cidrs) > 0
    error_message = "The variable access has to say how Packer reaches the builder: access.cidrs (your address as a.b.c.d/32) or access.session_manager = true. Port 22 is never opened to the world."
  }
  validation {
    condition     = length([for cidr in var.access.cidrs : cidr if !can(cidrnetmask(cidr)) || can(regex("/0$", cidr))]) == 0
    error_message = "The variable access.cidrs has to list IPv4 networks such as 203.0.113.7/32, and not all of the internet."
  }
}

variable "ssh_timeout" {
  type        = number
  description = "Seconds that the builder has from its launch until it lets Packer in. A type that starts slowly (metal) wants more."
  default     = 300

  validation {
    condition     = var.ssh_timeout >= 1 && var.ssh_timeout <= 3600
    error_message = "The variable ssh_timeout has to lie between 1 and 3600 seconds."
  }
}

# --- Another cloud than AWS ----------------------------------------------------------------------------------------------------

variable "ec2_endpoint" {
  type        = string
  description = "EC2's endpoint, for localcloud (`make image-local`). Empty: AWS."
  default     = ""
}

variable "ansible" {
  type = object({
    command   = string
    variables = any
  })
  description = "command: which ansible-playbook. variables: more for playbooks/image.yml, such as docker_compose_url of a mirror."
  default     = { command = "ansible-playbook", variables = {} }
}

# --- Pins (values: release.auto.pkrvars.hcl) -----------------------------------------------------------------------------------

variable "compose" {
  type = object({
    version = string
    sha256  = map(string)
  })
  description = "The compose plugin: its version, and its file's SHA-256 by architecture."
}

locals {
  stamp = formatdate("YYYYMMDDhhmmss", timestamp())
  # Two builds may begin in one second.
  image_name    = "${var.image_name_prefix}-${local.stamp}-${substr(uuidv4(), 0, 8)}"
  deprecate_at  = timeadd(timestamp(), "${var.deprecate_after_days * 24}h")
  instance_type = var.instance_type != "" ? var.instance_type : var.architecture == "arm64" ? "t4g.large" : "t3.large"
  elsewhere     = var.ec2_endpoint != ""

  # Where the image comes from, readable without booting it. fleet_drift compares the schema with what a launch template would write.
  lineage = merge(var.tags, {
    "Name"                       = "gh-worker-golden"
    "ghosthands:agent-schema"    = "1"
    "ghosthands:git-revision"    = var.git_revision
    "ghosthands:compose-version" = var.compose.version
    "ghosthands:worker-image"    = var.worker_image != "" ? var.worker_image : "none"
    "ghosthands:source-image"    = "{{ .SourceAMI }}"
    "ghosthands:source-name"     = "{{ .SourceAMIName }}"
  })
}
