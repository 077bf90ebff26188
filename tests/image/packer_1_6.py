"""Packer 1.6.6, Debian 12's, which is the only one that CI can install; and what it cannot read of the template."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.image.template import ROOT, TEMPLATE

#: File -> the texts in it that are newer than 1.6.6.
UNREADABLE: dict[str, tuple[str, ...]] = {
    "plugins.pkr.hcl": (
        """\
  required_version = ">= 1.11.0"

  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0, < 2.0.0"
    }
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = ">= 1.1.0, < 2.0.0"
    }
  }
""",
    ),
    "source.pkr.hcl": (
        """\
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
""",
        '  imds_support    = "v2.0"\n',
        "  deprecate_at    = local.deprecate_at\n",
    ),
    # There is no type `any`, so no further variables are passed.
    "build.pkr.hcl": (", var.ansible.variables",),
    # There is no function `regex`, so a validation with one would refuse every value.
    "variables.pkr.hcl": (
        "    variables = any\n",
        r"""  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+$", var.source_image_kernel))
    error_message = "The variable source_image_kernel must be a kernel version, such as 6.1."
  }
""",
        """\
  validation {
    condition     = var.worker_image == "" || can(regex("^[^@[:space:]]+@sha256:[0-9a-f]{64}$", var.worker_image))
    error_message = "The variable worker_image must name an image by digest (registry/name@sha256:...): a tag can be moved."
  }
""",  # noqa: E501
        """\
  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9-]{0,99}$", var.image_name_prefix))
    error_message = "The variable image_name_prefix must consist of letters, digits and dashes, at most 100."
  }
""",
        """\
  validation {
    condition     = length([for account in var.distribution.accounts : account if !can(regex("^[0-9]{12}$", account))]) == 0
    error_message = "The variable distribution.accounts must list account IDs of 12 digits."
  }
""",  # noqa: E501
    ),
}


def executable() -> str:
    """The program's path. Installs it if necessary. Raises CalledProcessError."""
    return subprocess.run([ROOT / ".ci/packer-1.6"], check=True, capture_output=True, text=True).stdout.strip()


def remove_newer_texts(template: Path) -> None:
    """Remove UNREADABLE from a copy of the template. Raises ValueError for a text that is not in it exactly once."""
    for name, texts in UNREADABLE.items():
        file = template / name
        content = file.read_text(encoding="utf-8")
        for text in texts:
            if content.count(text) != 1:
                raise ValueError(f"{TEMPLATE.name}/{name} contains this {content.count(text)} times, not once:\n{text}")
            content = content.replace(text, "")
        file.write_text(content, encoding="utf-8")
