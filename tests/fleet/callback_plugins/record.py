"""Writes each task's result as a line of JSON, with the API calls made meanwhile. For runs with one host."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: notification
short_description: Write a line of JSON per task
description:
  - Writes to the file named by RECORD.
  - C(calls) are the actions that were added to the trace file named by RECORD_TRACE during the task.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Writes a line for each result."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._file, self._trace = Path(os.environ["RECORD"]), Path(os.environ["RECORD_TRACE"])
        self._offset = 0

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Remember where this task's calls begin in the trace."""
        self._offset = self._trace.stat().st_size

    def v2_runner_on_ok(self, result: Any) -> None:
        """Record a task that succeeded."""
        self._write(result, "changed" if result.result.get("changed") else "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Record a task that failed."""
        self._write(result, "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Record a task that was skipped."""
        self._write(result, "skipped")

    def _write(self, result: Any, outcome: str) -> None:
        values = result.result
        with self._trace.open() as trace:
            trace.seek(self._offset)
            calls = [json.loads(line)["action"] for line in trace]
        line = {
            "task": result.task_name,
            "outcome": outcome,
            "calls": calls,
            "msg": str(values.get("msg", "")),
            "differs": values.get("differs"),
        }
        with self._file.open("a") as record:
            record.write(json.dumps(line) + "\n")
