"""The base image: built once, swapped by name, and never half there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from localcloud.instances import base_image
from localcloud.instances.docker import HostError, docker


def test_a_second_time_there_is_nothing_to_build_and_nothing_to_say(base: str) -> None:
    messages: list[str] = []
    assert base_image.base_image(messages.append) == base
    assert messages == []


def test_another_image_can_stand_in_if_it_is_there(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    docker("tag", base, "stand-in:1")
    monkeypatch.setenv(base_image.VARIABLE, "stand-in:1")
    assert base_image.base_image(print) == "stand-in:1"
    docker("rmi", "stand-in:1")
    with pytest.raises(HostError, match="LOCALCLOUD_BASE_IMAGE names stand-in:1, and Docker has no such image here"):
        base_image.base_image(print)


#: A builder that breaks off half way.
BREAKS_OFF = """#!/bin/sh
echo 'I: running apt-get update...' >&2
for word in "$@"; do case $word in *.tar) echo half >"$word" ;; esac; done
echo 'E: disk full' >&2
exit 25
"""


def test_a_build_that_fails_says_why_and_leaves_no_image(
    base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(base_image.RECIPE, tmp_path / "base")
    (tmp_path / "base/packages.txt").write_text("dbus\n", encoding="utf-8")
    monkeypatch.setattr(base_image, "RECIPE", tmp_path / "base")
    (tmp_path / "mmdebstrap").write_text(BREAKS_OFF, encoding="utf-8")
    (tmp_path / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    messages: list[str] = []
    with pytest.raises(HostError, match="mmdebstrap could not build the base image: E: disk full"):
        base_image.base_image(messages.append)
    assert messages[1:] == ["running apt-get update..."]
    name = f"localcloud-base:{base_image.recipe_digest(tmp_path / 'base')}"
    assert name in messages[0]
    assert docker("images", "--quiet", name) == ""
