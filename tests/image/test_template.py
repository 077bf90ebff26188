"""What the template's text must hold to, without a Packer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.image import template

FILES = sorted(template.TEMPLATE.glob("*.pkr.hcl"))
PINS = template.TEMPLATE / "release.auto.pkrvars.hcl"


def text_of(file: Path) -> str:
    """Without comments."""
    return re.sub(r"^\s*#.*$", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)


def variables() -> dict[str, str]:
    """The blocks of variables.pkr.hcl by name."""
    return dict(
        re.findall(
            r'^variable "(\w+)" \{\n(.*?)^\}',
            text_of(template.TEMPLATE / "variables.pkr.hcl"),
            re.MULTILINE | re.DOTALL,
        )
    )


def test_pins_stand_in_their_own_file_only_and_have_no_default() -> None:
    pinned = set(re.findall(r"^(\w+)\s*=", text_of(PINS), re.MULTILINE))
    assert pinned == {
        name for name, block in variables().items() if not re.search(r"^  default\s*=", block, re.MULTILINE)
    }
    for file in FILES:
        assert not re.search(r"[0-9a-f]{64}", text_of(file)), f"{file.name} pins a checksum"
    assert set(re.findall(r"(\w+)\s*= \"[0-9a-f]{64}\"", text_of(PINS))) == {"x86_64", "arm64"}


@pytest.mark.parametrize("file", [*FILES, PINS], ids=lambda file: file.name)
def test_no_file_names_an_image_an_account_of_ours_or_a_network(file: Path) -> None:
    assert not re.findall(r"\b(?:ami|subnet|vpc|sg|snap)-[0-9a-f]{8,17}\b", text_of(file))
    assert set(re.findall(r'"\d{12}"', text_of(file))) <= {'"137112412989"'}, (
        "Amazon's own account is the only one that is known beforehand"
    )


def test_every_variable_that_a_file_uses_is_declared_and_every_declared_one_is_used() -> None:
    used = {name for file in FILES for name in re.findall(r"\bvar\.(\w+)", text_of(file))}
    assert used == variables().keys()


def test_every_variable_says_what_it_is_for() -> None:
    assert [name for name, block in variables().items() if "description" not in block] == []


def test_the_images_compose_plugin_is_the_roles() -> None:
    defaults = (template.ROOT / "roles/docker/defaults/main.yml").read_text(encoding="utf-8")
    for pin in re.findall(r'"?([0-9a-f]{64}|\d+\.\d+\.\d+)"?$', text_of(PINS), re.MULTILINE):
        assert pin in defaults


def test_what_the_old_packer_cannot_read_is_in_the_template_once(tmp_path: Path) -> None:
    copied = template.tree(tmp_path)
    template.shorten(copied)
    left = {file.name: file.read_text(encoding="utf-8") for file in copied.iterdir()}
    whole = {file.name: file.read_text(encoding="utf-8") for file in template.TEMPLATE.iterdir()}
    assert {name for name in whole if whole[name] != left[name]} == template.UNREADABLE.keys()
    for name, pieces in template.UNREADABLE.items():
        assert len(whole[name]) - len(left[name]) == sum(map(len, pieces))


def test_a_template_that_no_longer_holds_a_dropped_piece_is_refused(tmp_path: Path) -> None:
    copied = template.tree(tmp_path)
    file = copied / "source.pkr.hcl"
    file.write_text(
        file.read_text(encoding="utf-8").replace('imds_support    = "v2.0"', 'imds_support = "v3.0"'), encoding="utf-8"
    )
    with pytest.raises(ValueError, match=r"source\.pkr\.hcl holds 0 times"):
        template.shorten(copied)
