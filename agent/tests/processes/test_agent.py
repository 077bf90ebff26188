"""The agent as it runs on an instance: real processes and signals, the policy of playbooks/iam.yml enforced."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcloud.testing import repeatedly, wait_until
from processes import instance as instance_program
from processes.fleet import CANARY, Fleet

REST_SECONDS = 15.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running fleet without instances."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    fleet.up()
    yield fleet
    fleet.down()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_idle_agent_uses_little_memory_and_processor_time(fleet: Fleet) -> None:
    (instance,) = fleet.launch(1)
    fleet.wait_for_log(instance, "event=scale_in_protection")  # botocore is in memory by then
    pid = fleet.watch_pid(instance)
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(REST_SECONDS)
    share = (cpu_seconds(pid) - before) / (time.monotonic() - began)
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    print(f"at rest: {resident:.1f} MB resident, {100 * share:.2f} % of a core")
    assert resident < 60
    assert share < 0.005


def test_sigterm_ends_watch_without_a_completion(fleet: Fleet) -> None:
    (instance,) = fleet.launch(1)
    pid = fleet.watch_pid(instance)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: fleet.watch_pid(instance) != pid)
    assert fleet.completions(instance) == []
    assert "Traceback" not in fleet.log(instance)
    assert "event=fault" not in fleet.log(instance)


def test_an_instance_drained_by_an_operator_stays_in_service(fleet: Fleet) -> None:
    (instance,) = fleet.launch(1)
    own = fleet.folder / instance
    drain = subprocess.run(
        [*instance_program.agent_command(own), "drain"],
        env=instance_program.environment(own),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert drain.returncode == 0, drain.stderr
    assert "event=drained" in drain.stderr
    assert fleet.completions(instance) == []
    assert fleet.instances()[instance]["LifecycleState"] == "InService"
    fleet.terminate(instance)
    assert fleet.completion(instance).result == "CONTINUE"


def test_no_value_of_the_secret_is_anywhere_but_in_the_env(fleet: Fleet) -> None:
    seen: set[str] = set()

    def read_all_arguments() -> None:
        paths = [Path("/proc", name, "cmdline") for name in os.listdir("/proc") if name.isdigit()]
        seen.update(str(path) for path in paths if CANARY.encode() in read(path))  # a glob fails where a process ends

    with repeatedly(read_all_arguments, every=0.02):
        (instance,) = fleet.launch(1)
        own = fleet.folder / instance
        env = own / "root/opt/ghosthands/.env"
        watch_environment = read(Path(f"/proc/{fleet.watch_pid(instance)}/environ"))
        fleet.terminate(instance)
        fleet.completion(instance)
    assert seen == set()
    assert CANARY in env.read_text()
    assert env.stat().st_mode & 0o777 == 0o600
    files = [path for path in own.rglob("*") if path.is_file() and path != env]
    assert len(files) > 5
    assert [str(path) for path in files if CANARY.encode() in path.read_bytes()] == []
    assert watch_environment
    assert CANARY.encode() not in watch_environment


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # the process has ended
