"""Failing builds: one clear error, and no resources are left."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.image.conftest import ROOT, Packer

UNREACHABLE_SUBNET = "subnet-010ca1c10d00000c3"
UNREACHABLE_NETWORK = "10.9.1.0/24"


def plain(text: str) -> str:
    """In one line: Packer wraps lines at the terminal's width."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("variable", "error"),
    [
        ("architecture=riscv64", "The variable architecture must be x86_64 or arm64."),
        ("access={session_manager=false,cidrs=[]}", "The variable access must say how Packer connects to the builder"),
        ('access={session_manager=false,cidrs=["example"]}', "The variable access.cidrs must list IPv4 networks"),
        (
            'distribution={kms_key_id="",accounts=["111111111111"],regions={}}',
            "The variable distribution.accounts needs distribution.kms_key_id",
        ),
        (
            'distribution={kms_key_id="k",accounts=["111111111111"],regions={"eu-west-1"=""}}',
            "needs a key for every region",
        ),
        ("deprecate_after_days=0", "The variable deprecate_after_days must be between 1 and 3650"),
        ("volume_size_gib=4", "The variable volume_size_gib must be between 8"),
        ("volume_size_gib=big", "a number is required"),
        ("spot=maybe", "Variables may not be used here"),
        ('access={cidrs=["203.0.113.7/32"]}', 'attribute "session_manager" is required'),
        ("access={session_manager=true,cidrs=[]}", "session_manager connectivity requires a valid"),
        ("ssh_timeout=0", "The variable ssh_timeout must be between 1 and 3600 seconds."),
        ("regoin=eu-west-1", 'A "regoin" variable was passed in the command line but was not found'),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value)[:40],
)
def test_an_invalid_variable_is_refused_before_any_call(
    packer: Packer, new_resources: Callable[[], set[str]], variable: str, error: str
) -> None:
    outcome = packer.build(variable)
    assert outcome.code != 0
    assert error in plain(outcome.output)
    assert outcome.output.count("Error: ") == 1, outcome.output


@pytest.mark.parametrize(
    ("variable", "error"),
    [
        ("source_image_kernel=9.9", "No AMI was found matching filters"),
        ('distribution={kms_key_id="",accounts=[],regions={"eu-wset-1"=""}}', "Invalid region(s): [eu-wset-1]"),
        ("subnet_id=subnet-0123456789abcdef0", "subnet-0123456789abcdef0"),
        ("instance_type=t3.huge", "Invalid value 't3.huge' for InstanceType"),
        ("instance_type=t4g.large", "does not match the architecture"),
        ("instance_profile=nobody", "nobody"),
        ("git_revision=broken", "Error executing Ansible"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value)[:40],
)
def test_an_error_of_aws_or_of_a_proof_ends_the_build(
    packer: Packer, new_resources: Callable[[], set[str]], variable: str, error: str
) -> None:
    outcome = packer.build(variable)
    assert outcome.code != 0
    assert outcome.images == {}
    assert error in plain(outcome.output.partition("Some builds didn't complete successfully")[2]), outcome.output


@pytest.fixture
def _unreachable() -> Iterator[None]:
    """Drop packets to port 22 in the subnet, as if it had no route."""
    rule = ["OUTPUT", "-d", UNREACHABLE_NETWORK, "-p", "tcp", "--dport", "22", "-j", "DROP"]
    subprocess.run(["iptables", "--wait", "-I", *rule], check=True)
    yield
    subprocess.run(["iptables", "--wait", "-D", *rule], check=True)


@pytest.mark.usefixtures("_unreachable")
def test_a_builder_in_a_subnet_without_a_route_times_out(packer: Packer, new_resources: Callable[[], set[str]]) -> None:
    outcome = packer.build(f"subnet_id={UNREACHABLE_SUBNET}", "ssh_timeout=5")
    assert outcome.code != 0
    assert "Timeout waiting for SSH" in outcome.output.partition("Some builds didn't complete successfully")[2]


# --- .ci/image --------------------------------------------------------------------------------------------------------


def image_command(packer: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `.ci/image` with the given Packer."""
    environment = {**os.environ, "PACKER": packer}
    return subprocess.run(
        [ROOT / ".ci/image", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


#: Replaces Packer: it prints a file and fails, or waits to be interrupted if the file is empty.
FAKE_PACKER = """\
#!/bin/sh
case $1 in
version) echo "Packer v1.16.0" ;;
build)
    cat "$(dirname "$0")/output"
    [ ! -s "$(dirname "$0")/output" ] || exit 1
    trap 'echo "==> Terminating"; sleep 1; echo "==> Deleting"; exit 1' INT
    while :; do sleep 0.1; done
    ;;
esac
"""


def fake_packer(folder: Path, output: str) -> list[str]:
    """The command `.ci/image aws` in a temporary checkout, with a Packer that prints `output`."""
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/image", folder / ".ci/image")
    packer = folder / "fake-packer"
    packer.write_text(FAKE_PACKER, encoding="utf-8")
    packer.chmod(0o755)
    (folder / "output").write_text(output, encoding="utf-8")
    return ["env", f"PACKER={packer}", str(folder / ".ci/image"), "aws"]


BUILD = "==> golden.amazon-ebs.worker: "
CONNECTING = f"{BUILD}Using SSH communicator to connect: "
TIMEOUT = f"{BUILD}Timeout waiting for SSH.\n{BUILD}Terminating the source AWS instance...\n"


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (
            f"{BUILD}Authorizing access to port 22 from [203.0.113.7/32] in the temporary security groups...\n"
            f"{CONNECTING}10.9.1.23\n{TIMEOUT}",
            "the builder did not answer at 10.9.1.23, port 22, which is open to 203.0.113.7/32:"
            " is that your address (access.cidrs), and has its subnet a route to you (subnet_id)?",
        ),
        (
            f"{CONNECTING}localhost\n{TIMEOUT}",
            "the builder was not reached through Session Manager: its instance_profile needs ",
        ),
        (
            "[ERROR]: Task failed: rescued\n[ERROR]: Task failed: there is no room\n"
            "Error executing Ansible: exit status 2\n",
            "no image was made. Task failed: there is no room",
        ),
        ("[ERROR]: Task failed: rescued\nError creating AMI: no\n", "no image was made: see Packer's error above"),
    ],
    ids=["no route", "no session", "a task", "the cloud"],
)
def test_the_last_line_says_why_a_build_failed(tmp_path: Path, output: str, error: str) -> None:
    done = subprocess.run(
        fake_packer(tmp_path, output), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout) == (1, output)
    assert done.stderr.startswith(f"image: {error}")
    assert done.stderr.count("\n") == 1


def test_packer_cleans_up_after_an_interrupt(tmp_path: Path) -> None:
    running = subprocess.Popen(
        fake_packer(tmp_path, ""),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "build/image/packer.log").exists():
        assert running.poll() is None
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGINT)
    out, error = running.communicate(timeout=20)
    assert (running.returncode, out, error) == (
        1,
        "==> Terminating\n==> Deleting\n",
        "image: no image was made: see Packer's error above\n",
    )


@pytest.mark.parametrize("where", ["aws", "local", "check"])
def test_a_missing_packer_is_an_error_that_says_how_to_get_it(where: str) -> None:
    done = image_command("no-such-packer", where)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"image: there is no no-such-packer; get 1\.11 or newer from .*\n", done.stderr)


def test_an_old_packer_is_an_error_that_says_how_to_get_a_newer_one(legacy: str) -> None:
    done = image_command(legacy, "local")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"image: \S+ is 1\.6\.6; get 1\.11 or newer from .*\n", done.stderr)


@pytest.mark.parametrize(
    ("version", "supported"),
    [("1.10.3", False), ("1.9.0", False), ("0.12.3", False), ("1.11.0", True), ("1.16.0", True), ("2.0.0", True)],
)
def test_versions_are_compared_as_numbers(tmp_path: Path, version: str, supported: bool) -> None:
    stand_in = tmp_path / "packer"
    stand_in.write_text(f"#!/bin/sh\n[ $1 = version ] && echo 'Packer v{version}'\n", encoding="utf-8")
    stand_in.chmod(0o755)
    done = image_command(str(stand_in), "check")
    assert ("get 1.11 or newer" in done.stderr) is not supported


def test_another_program_of_that_name_is_an_error() -> None:
    done = image_command("true", "check")
    assert done.returncode == 1
    assert re.fullmatch(r"image: true prints no Packer version; get .*\n", done.stderr)


def test_an_unknown_argument_is_refused() -> None:
    done = image_command("true", "azure")
    assert (done.returncode, done.stderr) == (1, "image: usage: .ci/image aws|local|check [packer options]\n")


def test_the_template_is_formatted_and_valid(current: str) -> None:
    done = image_command(current, "check")
    assert done.returncode == 0, done.stdout + done.stderr
