# The group of a user of Terraform, with the kit's agent and hooks (bench/rollouts.py): a new image is a new version of
# the template, and the refresh has the provider's defaults.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region                      = "us-east-1"
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  skip_credentials_validation = true
}

variable "image" { type = string }
variable "name" { type = string }
variable "template" { type = map(string) } # what site.yml gave to its own template
variable "subnets" { type = list(string) }
variable "hooks" { type = map(string) } # transition -> name
variable "desired" { type = number }

resource "aws_launch_template" "worker" {
  name_prefix            = "terraform-"
  image_id               = var.image
  instance_type          = var.template.instance_type
  user_data              = var.template.user_data
  vpc_security_group_ids = [var.template.security_group]

  iam_instance_profile {
    arn = var.template.profile
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }
}

resource "aws_autoscaling_group" "worker" {
  name                    = var.name
  min_size                = 1
  max_size                = 10
  desired_capacity        = var.desired
  vpc_zone_identifier     = var.subnets
  default_instance_warmup = 2
  suspended_processes     = ["AZRebalance"]

  launch_template {
    id      = aws_launch_template.worker.id
    version = aws_launch_template.worker.latest_version
  }

  dynamic "initial_lifecycle_hook" {
    for_each = var.hooks
    content {
      name                 = initial_lifecycle_hook.value
      lifecycle_transition = "autoscaling:EC2_INSTANCE_${initial_lifecycle_hook.key}"
      heartbeat_timeout    = 60
      default_result       = "ABANDON"
    }
  }

  instance_refresh {
    strategy = "Rolling"
  }

  lifecycle {
    ignore_changes = [desired_capacity] # VALET's
  }
}
