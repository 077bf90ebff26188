"""What cannot be baked: one clear error, and nothing of the attempt is left."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.packer.conftest import ROOT, Packer

NOBODYS_SUBNET = "subnet-010ca1c10d00000c3"
NOBODYS_NETWORK = "10.9.1.0/24"


def plain(text: str) -> str:
    """In one line: Packer breaks its lines where the terminal would end."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("variable", "error"),
    [
        ("architecture=riscv64", "The variable architecture has to be x86_64 or arm64."),
        ("access={session_manager=false,cidrs=[]}", "The variable access has to say how Packer reaches the builder"),
        ('access={session_manager=false,cidrs=["example"]}', "The variable access.cidrs has to list IPv4 networks"),
        (
            'distribution={kms_key_id="",accounts=["111111111111"],regions={}}',
            "The variable distribution.accounts needs distribution.kms_key_id",
        ),
        ('distribution={kms_key_id="k",accounts=["111111111111"],regions={"eu-west-1"=""}}', "needs a key for every region"),
        ("deprecate_after_days=0", "The variable deprecate_after_days has to lie between 1 and 3650"),
        ("volume_size_gib=4", "The variable volume_size_gib has to lie between 8"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value)[:40],
)
def test_a_wrong_variable_is_refused_before_anything_is_asked(
    packer: Packer, nothing_left: Callable[[], set[str]], variable: str, error: str
) -> None:
    outcome = packer.build(variable)
    assert outcome.code != 0
    assert error in plain(outcome.output)
    assert outcome.output.count("Error: ") == 1, outcome.output


@pytest.mark.parametrize(
    ("variable", "error"),
    [
        ("source_image_kernel=9.9", "No AMI was found matching filters"),
        ("subnet_id=subnet-0123456789abcdef0", "subnet-0123456789abcdef0"),
        ("instance_type=t3.huge", "Invalid value 't3.huge' for InstanceType"),
        ("instance_type=t4g.large", "does not match the architecture"),
        ("instance_profile=nobody", "nobody"),
        ("git_revision=broken", "Error executing Ansible"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value)[:40],
)
def test_what_the_cloud_or_a_proof_refuses_ends_the_build(
    packer: Packer, nothing_left: Callable[[], set[str]], variable: str, error: str
) -> None:
    outcome = packer.build(variable)
    assert outcome.code != 0
    assert outcome.images == {}
    assert error in plain(outcome.output.partition("Some builds didn't complete successfully")[2]), outcome.output


@pytest.fixture
def _unreachable() -> Iterator[None]:
    """Nothing gets through to the subnet's port 22, as to one without a route."""
    rule = ["OUTPUT", "-d", NOBODYS_NETWORK, "-p", "tcp", "--dport", "22", "-j", "DROP"]
    subprocess.run(["iptables", "--wait", "-I", *rule], check=True)
    yield
    subprocess.run(["iptables", "--wait", "-D", *rule], check=True)


@pytest.mark.usefixtures("_unreachable")
def test_a_builder_in_a_subnet_without_a_route_is_given_up(packer: Packer, nothing_left: Callable[[], set[str]]) -> None:
    source = packer.template / "source.pkr.hcl"
    text = source.read_text(encoding="utf-8")
    assert text.count('= "5m"') == 1
    source.write_text(text.replace('= "5m"', '= "5s"'), encoding="utf-8")
    outcome = packer.build(f"subnet_id={NOBODYS_SUBNET}")
    assert outcome.code != 0
    assert "Timeout waiting for SSH" in outcome.output.partition("Some builds didn't complete successfully")[2]


# --- .ci/image ------------------------------------------------------------------------------------------------------------


def verb(packer: str, *words: str) -> subprocess.CompletedProcess[str]:
    """``.ci/image`` with a packer of the test's choice."""
    environment = {**os.environ, "PACKER": packer}
    return subprocess.run(
        [ROOT / ".ci/image", *words], env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("where", ["aws", "local", "check"])
def test_a_missing_packer_fails_in_one_line_that_says_how_to_get_it(where: str) -> None:
    done = verb("no-such-packer", where)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"image: there is no no-such-packer; get 1\.11 or newer from .*\n", done.stderr)


def test_a_packer_that_is_too_old_fails_in_one_line_that_says_how_to_get_a_newer(legacy: str) -> None:
    done = verb(legacy, "local")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"image: \S+ is 1\.6\.6; get 1\.11 or newer from .*\n", done.stderr)


@pytest.mark.parametrize(
    ("version", "wanted"), [("1.10.3", False), ("1.9.0", False), ("0.12.3", False), ("1.11.0", True), ("1.16.0", True), ("2.0.0", True)]
)
def test_versions_are_compared_as_numbers(tmp_path: Path, version: str, wanted: bool) -> None:
    stand_in = tmp_path / "packer"
    stand_in.write_text(f"#!/bin/sh\n[ $1 = version ] && echo 'Packer v{version}'\n", encoding="utf-8")
    stand_in.chmod(0o755)
    done = verb(str(stand_in), "check")
    assert ("get 1.11 or newer" in done.stderr) is not wanted


def test_something_else_of_that_name_is_not_taken_for_packer() -> None:
    done = verb("true", "check")
    assert done.returncode == 1
    assert re.fullmatch(r"image: true does not say its version as Packer does; get .*\n", done.stderr)


def test_another_word_than_the_three_is_refused() -> None:
    done = verb("true", "azure")
    assert (done.returncode, done.stderr) == (1, "image: say aws, local or check\n")


def test_the_template_is_formatted_and_valid(current: str) -> None:
    done = verb(current, "check")
    assert done.returncode == 0, done.stdout + done.stderr
