terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "max_size" {
  type    = number
  default = 2
}

variable "instance_type" {
  type    = string
  default = "t3.medium"
}

variable "heartbeat_timeout" {
  type    = number
  default = 300
}

variable "ports" {
  type    = set(number)
  default = [443]
}

variable "description" {
  type    = string
  default = "of a worker"
}

provider "aws" {}

data "aws_ami" "worker" {
  most_recent = true
  owners      = ["self"]
  filter {
    name   = "name"
    values = ["gh-worker-*"]
  }
  filter {
    name   = "architecture"
    values = ["x86_64"]
  }
}

resource "aws_vpc" "own" {
  cidr_block           = "10.40.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "peers" }
}

resource "aws_subnet" "own" {
  for_each          = { a = "10.40.1.0/24", b = "10.40.2.0/24" }
  vpc_id            = aws_vpc.own.id
  cidr_block        = each.value
  availability_zone = "us-east-1${each.key}"
}

resource "aws_internet_gateway" "own" {
  vpc_id = aws_vpc.own.id
}

resource "aws_route_table" "own" {
  vpc_id = aws_vpc.own.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.own.id
  }
}

resource "aws_route_table_association" "own" {
  for_each       = aws_subnet.own
  subnet_id      = each.value.id
  route_table_id = aws_route_table.own.id
}

resource "aws_security_group" "worker" {
  name        = "peers-worker"
  description = "peers"
  vpc_id      = aws_vpc.own.id
  dynamic "ingress" {
    for_each = var.ports
    content {
      protocol    = "tcp"
      from_port   = ingress.value
      to_port     = ingress.value
      cidr_blocks = ["10.0.0.0/8"]
    }
  }
  egress {
    protocol         = "-1"
    from_port        = 0
    to_port          = 0
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }
}

resource "aws_kms_key" "worker" {
  description             = "peers"
  deletion_window_in_days = 7
  enable_key_rotation     = true
}

resource "aws_secretsmanager_secret" "worker" {
  name       = "peers/worker"
  kms_key_id = aws_kms_key.worker.arn
}

resource "aws_secretsmanager_secret_version" "worker" {
  secret_id     = aws_secretsmanager_secret.worker.id
  secret_string = jsonencode({ DATABASE_URL = "postgres://peers" })
}

resource "aws_cloudwatch_log_group" "worker" {
  name              = "/peers/worker"
  retention_in_days = 30
}

resource "aws_iam_role" "worker" {
  name        = "peers-worker"
  path        = "/peers/"
  description = var.description
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "worker" {
  name = "read-secret"
  role = aws_iam_role.worker.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = aws_secretsmanager_secret.worker.arn }]
  })
}

resource "aws_iam_role_policy_attachment" "worker" {
  role       = aws_iam_role.worker.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "worker" {
  name = "peers-worker"
  role = aws_iam_role.worker.name
}

resource "aws_launch_template" "worker" {
  name                   = "peers-worker"
  image_id               = data.aws_ami.worker.id
  instance_type          = var.instance_type
  update_default_version = true
  vpc_security_group_ids = [aws_security_group.worker.id]
  user_data              = base64encode("#cloud-config\n")
  iam_instance_profile {
    arn = aws_iam_instance_profile.worker.arn
  }
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size = 40
      volume_type = "gp3"
      encrypted   = true
    }
  }
}

resource "aws_autoscaling_group" "worker" {
  name                = "peers-worker"
  min_size            = 0
  max_size            = var.max_size
  desired_capacity    = 1
  vpc_zone_identifier = [for subnet in aws_subnet.own : subnet.id]
  launch_template {
    id      = aws_launch_template.worker.id
    version = aws_launch_template.worker.latest_version
  }
  tag {
    key                 = "Name"
    value               = "peers"
    propagate_at_launch = true
  }
}

resource "aws_autoscaling_lifecycle_hook" "worker" {
  name                   = "drain"
  autoscaling_group_name = aws_autoscaling_group.worker.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = var.heartbeat_timeout
  default_result         = "CONTINUE"
}
