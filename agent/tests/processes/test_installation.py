"""The agent as roles/ghosthands/README.md installs it: in its own virtual environment, with pinned packages."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[3] / "roles/ghosthands"


@pytest.fixture(scope="module")
def commands() -> list[str]:
    """The shell lines of the README's section."""
    section = (ROLE / "README.md").read_text().partition("## How it is installed")[2]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block
    return block[1].splitlines()


@pytest.fixture(scope="module")
def installed(commands: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place where the README's lines were run, with this Python."""
    place = tmp_path_factory.mktemp("installed") / "agent"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for line in commands:
        ours = (
            line.replace("/opt/ghosthands-agent", str(place))
            .replace("python3.11 -m", f"{shlex.quote(sys.executable)} -m")
            .replace("python3.11", version)
        )
        subprocess.run(ours, shell=True, cwd=ROLE, check=True, capture_output=True)
    return place


def test_the_installed_agent_uses_only_its_own_packages(installed: Path) -> None:
    output = subprocess.run(
        [installed / "bin/python", "-I", "-m", "ghosthands_agent", "--help"],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "refresh-registry-login" in output.stdout
    code = "import ghosthands_agent, botocore; print(ghosthands_agent.__file__); print(botocore.__file__)"
    found = subprocess.run(
        [installed / "bin/python", "-I", "-c", code], cwd="/", capture_output=True, text=True, check=True
    )
    assert all(line.startswith(str(installed)) for line in found.stdout.splitlines())


def test_the_pins_are_those_of_the_lock_file() -> None:
    lock = (ROLE.parents[1] / "requirements.lock").read_text()
    for pin in re.findall(r"^\S+==\S+", (ROLE / "files/requirements.txt").read_text(), re.MULTILINE):
        assert re.search(rf"^{re.escape(pin)} ", lock, re.MULTILINE), pin
