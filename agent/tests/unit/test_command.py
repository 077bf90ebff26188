"""Commands, with real programs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from ghosthands_agent.command import (
    Command,
    CompletedCommand,
    PolledTask,
    Steps,
    kill_by_identity,
    name,
    until_completed,
)
from ghosthands_agent.ports import Refused, Unavailable
from unit.tasks import result_of


def python(code: str, **extra: str) -> Command:
    return Command([sys.executable, "-c", code], extra)


def pid_of(command: Command) -> int:
    return int(command.identity.split()[0])


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_returns_exit_code_and_output() -> None:
    assert python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)").wait(10) == CompletedCommand(
        3, "out\n", "err\n"
    )


def test_a_command_with_much_output_does_not_block() -> None:
    ended = python("print('x' * 3_000_000)").wait(10)
    assert ended.code == 0
    assert len(ended.output) == 1 << 20


def test_a_command_gets_only_a_few_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("COMPOSE_FILE", "canary")
    ended = python("import os; print(sorted(os.environ))", DOCKER_CONFIG="/x").wait(10)
    known = set(eval(ended.output)) - {"LC_CTYPE"}  # Python's own, where no locale is set
    assert known <= {"PATH", "HOME", "DOCKER_HOST", "LANG", "DOCKER_CONFIG"}
    assert "DOCKER_CONFIG" in known


def test_a_command_that_takes_too_long_is_killed_with_its_children() -> None:
    command = python(
        "import subprocess, sys, time; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); time.sleep(60)"
    )
    with pytest.raises(Unavailable, match="Timeout"):
        command.wait(1.0)
    ended = command.poll()
    assert ended is not None
    until = time.monotonic() + 5
    while alive(int(ended.output)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_missing_program_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no-such-program: FileNotFoundError"):
        Command(["/no-such-program"])


def test_a_task_advances_when_it_is_polled_and_does_not_block() -> None:
    def steps() -> Steps[CompletedCommand]:
        yield from until_completed(python("import time; time.sleep(0.3)"))
        return (yield from until_completed(python("print('second')")))

    began = time.monotonic()
    work = PolledTask(steps())
    assert not work.done()
    assert time.monotonic() - began < 0.25
    assert result_of(work).output == "second\n"


def test_a_failed_tasks_result_is_its_error() -> None:
    def steps() -> Steps[None]:
        yield None
        raise Refused("docker pull", "NoSuchImage")

    work = PolledTask(steps())
    while not work.done():
        pass
    for _ in range(2):
        with pytest.raises(Refused, match="docker pull: NoSuchImage"):
            work.result()
    work.cancel()


def test_cancelling_a_task_kills_its_program() -> None:
    command = python("import time; time.sleep(60)")
    work = PolledTask(until_completed(command))
    work.cancel()
    assert work.done()
    assert not alive(pid_of(command))
    with pytest.raises(Unavailable, match="Cancelled"):
        work.result()


def test_a_result_of_an_unfinished_task_is_an_error() -> None:
    def steps() -> Steps[None]:
        yield None
        yield None

    with pytest.raises(ValueError, match="not done"):
        PolledTask(steps()).result()


def test_a_task_that_is_garbage_collected_leaves_its_program_running() -> None:
    """Neither an agent that is killed nor one that exits stops its programs."""
    command = python("import time; time.sleep(60)")
    work = PolledTask(until_completed(command))
    del work
    assert alive(pid_of(command))
    command.kill()
    assert not alive(pid_of(command))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (
            ["docker", "compose", "--project-name", "ghosthands", "--file", "/opt/x.yml", "up", "--detach"],
            "docker compose up",
        ),
        (["docker", "pull", "--quiet", "--", "registry/name:tag"], "docker pull"),
        (["docker", "image", "inspect", "--", "name"], "docker image inspect"),
        (["docker", "compose", "--project-name", "p", "stop", "--timeout", "5", "worker"], "docker compose stop"),
        (["/usr/bin/systemctl", "try-restart", "x.service"], "systemctl try-restart"),
    ],
)
def test_a_command_is_named_by_its_subcommands(words: list[str], named: str) -> None:
    assert name(words) == named


def test_a_command_is_killed_by_pid_and_start_time() -> None:
    command = python("import time; time.sleep(60)")
    pid, _, started = command.identity.partition(" ")
    for other in (f"{pid} {int(started) - 1}", f"{pid} ", pid, "", "-1 0", "garbage"):
        kill_by_identity(other)
    time.sleep(0.1)
    assert alive(int(pid))
    kill_by_identity(command.identity)
    assert command.wait(5).code == -9
    kill_by_identity(command.identity)


def test_no_file_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    python("print('x')").wait(10)
    python("import time; time.sleep(60)").kill()
    with pytest.raises(Unavailable):
        Command(["/no-such-program"])
    assert len(os.listdir("/proc/self/fd")) == before


def test_home_and_path_are_passed_on() -> None:
    assert python("import os; print(os.environ['PATH'])").wait(10).output.strip() == os.environ["PATH"]
