"""What must not be in an image is found, on a file system of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "playbooks/files/find_forbidden.py"


def found(kinds: list[dict[str, object]]) -> list[str]:
    """The program's lines, without the machine ID of the host that the test runs on."""
    run = subprocess.run(
        [sys.executable, PROGRAM, json.dumps(kinds)], capture_output=True, text=True, check=True, timeout=20
    )
    return [line for line in run.stdout.splitlines() if "/etc/machine-id" not in line]


@pytest.mark.parametrize("name", ["key", ".key_history", "a b.log"])
def test_a_path_that_matches_a_pattern_is_named_with_its_kind(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    kinds: list[dict[str, object]] = [
        {"what": "a file", "paths": [f"{tmp_path}/key", f"{tmp_path}/.*_history", f"{tmp_path}/*.log*"]}
    ]
    assert found(kinds) == [f"a file: {tmp_path / name}"]


def test_a_broken_link_is_found_and_a_path_without_match_is_not(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert found([{"what": "a link", "paths": [f"{tmp_path}/link", f"{tmp_path}/missing"]}]) == [
        f"a link: {tmp_path / 'link'}"
    ]
