"""Flushing the log shipper."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ghosthands_agent.cloudwatch_agent import FLUSH_SECONDS, CloudWatchShipper
from ghosthands_agent.ports import Unavailable
from unit.tasks import result_of


def systemctl(folder: Path, script: str) -> str:
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_the_log_shippers_unit_is_restarted_if_it_runs(tmp_path: Path) -> None:
    result_of(CloudWatchShipper(True, systemctl(tmp_path, f'echo "$@" > {tmp_path}/arguments')).flush())
    assert (tmp_path / "arguments").read_text() == "try-restart amazon-cloudwatch-agent.service\n"


def test_without_a_log_group_there_is_nothing_to_flush(tmp_path: Path) -> None:
    result_of(CloudWatchShipper(False, str(tmp_path / "no-such-program")).flush())


def test_a_log_shipper_that_cannot_be_restarted_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="systemctl try-restart: exit 5"):
        result_of(CloudWatchShipper(True, systemctl(tmp_path, "exit 5")).flush())


def test_a_slow_log_shipper_is_a_timeout(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="systemctl try-restart: Timeout"):
        result_of(CloudWatchShipper(True, systemctl(tmp_path, "exec sleep 30")).flush())
    assert time.monotonic() - began < FLUSH_SECONDS + 2
