"""The pages of operators' tasks: every command in their blocks of shell is run, in order, as an operator types it."""

from __future__ import annotations

import re
import shlex
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fleet.agents import Agents, show_tags
from tests.fleet.cloud import ROOT, Run
from tests.fleet.fleet import REPOSITORY
from tests.fleet.healthy import HealthyFleet
from tests.fleet.hooks import completed_hooks
from tests.fleet.hosts_here import HostsHere

PAGES = ("inventory", "scale", "drain", "collect", "pause", "renew", "release")
INSTANCE = "i-0123456789abcdef0"


def commands(page: str) -> list[str]:
    """The commands of a page's blocks of shell."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / f"docs/{page}.md").read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


class Operator:
    """Types commands of pages: `staging` is the fleet of inventories/local here, and the instance one of its own."""

    def __init__(self, fleet: HealthyFleet, hosts: HostsHere) -> None:
        self._fleet, self._hosts = fleet, hosts
        self._instance = fleet.in_service()[0]

    def run(self, command: str) -> Run:
        command = command.replace(INSTANCE, self._instance)
        if command.startswith("ansible-playbook"):
            own = {"fleet_collect_dir": str(self._hosts.bundles), "fleet_ssh_key_file": ""}
            command = command.replace("-i staging", f"-i {shlex.quote(str(self._fleet.inventory(own)))}")
        else:
            command = command.replace("staging.aws_ec2.yml", "local.aws_ec2.yml")
        return self._fleet.shell(
            command,
            ROOT,
            PATH=f"{self._hosts.programs}:{self._fleet.playbook_environment()['PATH']}",
            AWS_ENDPOINT_URL=self._fleet.url,
            ANSIBLE_PIPELINING="1",  # SSH is a program here that copies no files
        )


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_works(page: str, fleet: HealthyFleet, tmp_path: Path) -> None:
    found = commands(page)
    assert found, "the page has commands"
    show_tags(fleet)
    fleet.push_image(REPOSITORY, "v2")
    with ExitStack() as stack:
        stack.enter_context(Agents(fleet))
        stack.enter_context(completed_hooks(fleet))
        operator = Operator(fleet, HostsHere(fleet, tmp_path))
        for command in found:
            run = operator.run(command)
            assert run.returncode == 0, (command, run)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_when_what_is_seen_and_how_to_undo_it(page: str) -> None:
    text = (ROOT / f"docs/{page}.md").read_text()
    assert "**When.**" in text
    assert "**To undo**" in text
