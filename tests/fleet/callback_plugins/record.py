"""Writes what each task said as a line of JSON, with the calls that the cloud's trace took on meanwhile. One host, one task at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: notification
short_description: One line of JSON a task
description:
  - Writes to the file that RECORD names. C(calls) are the actions that the trace file RECORD_TRACE took on during the task.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """A line for each result."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._file, self._trace = Path(os.environ["RECORD"]), Path(os.environ["RECORD_TRACE"])
        self._seen = 0

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """The calls from here on are this task's."""
        self._seen = self._trace.stat().st_size

    def v2_runner_on_ok(self, result: Any) -> None:
        """It ran."""
        self._write(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """It failed."""
        self._write(result, "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Its conditions kept it out."""
        self._write(result, "skipped")

    def _write(self, result: Any, outcome: str) -> None:
        said = result.result
        with self._trace.open() as trace:
            trace.seek(self._seen)
            calls = [json.loads(line)["action"] for line in trace]
        line = {
            "task": result.task_name,
            "outcome": outcome,
            "calls": calls,
            "msg": str(said.get("msg", "")),
            "differs": said.get("differs"),
        }
        with self._file.open("a") as record:
            record.write(json.dumps(line) + "\n")
