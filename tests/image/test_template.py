"""The template's text, without running Packer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.image import packer_1_6, template

FILES = sorted(template.TEMPLATE.glob("*.pkr.hcl"))
PINS = template.TEMPLATE / "release.auto.pkrvars.hcl"


def text_of(file: Path) -> str:
    """A file's text without comments."""
    return re.sub(r"^\s*#.*$", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)


def variables() -> dict[str, str]:
    """The blocks of variables.pkr.hcl: name -> text."""
    return dict(
        re.findall(
            r'^variable "(\w+)" \{\n(.*?)^\}',
            text_of(template.TEMPLATE / "variables.pkr.hcl"),
            re.MULTILINE | re.DOTALL,
        )
    )


def test_versions_and_checksums_are_in_their_own_file_and_have_no_default() -> None:
    pinned = set(re.findall(r"^(\w+)\s*=", text_of(PINS), re.MULTILINE))
    assert pinned == {
        name for name, block in variables().items() if not re.search(r"^  default\s*=", block, re.MULTILINE)
    }
    for file in FILES:
        assert not re.search(r"[0-9a-f]{64}", text_of(file)), f"{file.name} pins a checksum"
    assert set(re.findall(r"(\w+)\s*= \"[0-9a-f]{64}\"", text_of(PINS))) == {"x86_64", "arm64"}


@pytest.mark.parametrize("file", [*FILES, PINS], ids=lambda file: file.name)
def test_no_file_has_ids_of_images_accounts_or_networks(file: Path) -> None:
    assert not re.findall(r"\b(?:ami|subnet|vpc|sg|snap)-[0-9a-f]{8,17}\b", text_of(file))
    assert set(re.findall(r'"\d{12}"', text_of(file))) <= {'"137112412989"'}, (
        "Amazon's own account is the only one that is known in advance"
    )


def test_every_used_variable_is_declared_and_every_declared_one_used() -> None:
    used = {name for file in FILES for name in re.findall(r"\bvar\.(\w+)", text_of(file))}
    assert used == variables().keys()


def test_every_variable_has_a_description() -> None:
    assert [name for name, block in variables().items() if "description" not in block] == []


def test_the_images_compose_plugin_is_the_roles_default() -> None:
    defaults = (template.ROOT / "roles/docker/defaults/main.yml").read_text(encoding="utf-8")
    for pin in re.findall(r'"?([0-9a-f]{64}|\d+\.\d+\.\d+)"?$', text_of(PINS), re.MULTILINE):
        assert pin in defaults


def test_what_packer_1_6_cannot_read_is_in_the_template_exactly_once(tmp_path: Path) -> None:
    packer_1_6.remove_newer_texts(template.tree(tmp_path))
