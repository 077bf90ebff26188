build {
  name    = "golden"
  sources = ["source.amazon-ebs.worker"]

  # At first boot cloud-init may still install SSH keys, and locks dnf.
  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || { cloud-init status --long; exit 1; }"]
  }

  # Runbook §2. The playbook ends by verifying the image; if that fails, no AMI is created.
  provisioner "ansible" {
    command       = var.ansible.command
    playbook_file = "${path.root}/../playbooks/image.yml"
    groups        = ["image"]
    user          = "ec2-user"
    use_proxy     = false
    ansible_env_vars = [
      "ANSIBLE_CONFIG=${path.root}/../ansible.cfg",
      "ANSIBLE_PIPELINING=true",
      "ANSIBLE_SSH_ARGS=-o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
    ]
    extra_arguments = [
      "--extra-vars", jsonencode(merge({
        image_worker_image    = var.worker_image
        image_git_revision    = var.git_revision
        image_source_image    = build.SourceAMI
        image_compose_version = var.compose.version
        image_compose_sha256  = var.compose.sha256[var.architecture]
        docker_users          = ["ec2-user"]
      }, var.ansible.variables)),
    ]
  }

  post-processor "manifest" {
    output     = "${path.root}/../build/image/manifest.json"
    strip_path = true
    custom_data = {
      image_name   = local.image_name
      architecture = var.architecture
      git_revision = var.git_revision
      worker_image = var.worker_image
    }
  }
}
