"""The template in a tree of its own, beside a small playbook; and what Packer 1.6.6, the newest of Debian 12, cannot read of it."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "packer"

#: By file, to the letter: all of it came after 1.6.6. Nothing else may differ from the template.
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
    # It has no type any, so it hands no more variables on.
    "build.pkr.hcl": (", var.ansible.variables",),
    # It has no function regex either; what asks for one refuses every value.
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
""",
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
""",
    ),
}


def tree(folder: Path, *, template: Path = TEMPLATE) -> Path:
    """The template's copy at ``folder``/packer, with what it reaches for by relative paths; returns that path."""
    copied = folder / "packer"
    shutil.copytree(template, copied)
    shutil.copytree(Path(__file__).with_name("playbooks"), folder / "playbooks")
    shutil.copy(ROOT / "ansible.cfg", folder)
    (folder / "build/image").mkdir(parents=True)
    return copied


def shorten(copied: Path) -> None:
    """Drop what 1.6.6 cannot read.

    Raises:
        ValueError: the template no longer holds a piece, exactly once; the message names it.
    """
    for name, pieces in UNREADABLE.items():
        file = copied / name
        text = file.read_text(encoding="utf-8")
        for piece in pieces:
            if text.count(piece) != 1:
                raise ValueError(f"packer/{name} holds {text.count(piece)} times, not once:\n{piece}")
            text = text.replace(piece, "")
        file.write_text(text, encoding="utf-8")
