# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker registry's rows as values, and the rows that no worker would have written. Standard library only."""

from __future__ import annotations

import ipaddress
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

STATUSES = ("active", "draining", "offline")
# What a worker writes that could not ask its instance (§11): a check reports it, the row is not broken.
UNKNOWN = (None, "", "unknown")
FUTURE_SECONDS = 300.0  # a heartbeat further in the future than a worker counts as alive would never become stale
LONGEST_NAME = 255
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class WorkerRow:
    """One worker, as it registered itself. Points in time are ISO 8601, UTC."""

    worker_id: str
    status: str
    """one of STATUSES"""
    target_worker_id: str | None
    instance_id: str | None
    """None: the worker does not know it. The same for `ip`"""
    ip: str | None
    job_id: str | None
    registered_at: str
    last_heartbeat: str
    jobs_completed: int
    jobs_failed: int
    heartbeat_age: float
    """seconds, by the database's clock"""


@dataclass(frozen=True)
class WorkerJobs:
    """How many jobs a worker has ended, and has now, by their rows in gh_automation_jobs.

    Upstream's worker leaves its id in the rows of jobs that it ended; nobody counts jobs_completed and jobs_failed of
    the registry (its migration 013 sets them to 0, and its main.ts writes neither).
    """

    completed: int = 0
    failed: int = 0
    running: int = 0
    """a worker has one at a time: what is more was left by a process that died"""

    @property
    def problem(self) -> str:
        """Why its worker's image is not right, after "the worker"; empty: nothing is known."""
        if self.failed and not self.completed:
            return "failed its first job" if self.failed == 1 else f"failed its first {self.failed} jobs"
        if self.running > 1:
            left = "a job" if self.running == 2 else f"{self.running - 1} jobs"
            return f"died during {left} and was started again"
        return ""


@dataclass(frozen=True)
class Registry:
    """The registry, as it was read."""

    reachable: bool
    """whether it could be read; if not, the rest says nothing"""
    error: str
    """why it could not be read, and what to do; empty: it could"""
    rows: tuple[WorkerRow, ...]
    broken: tuple[str, ...]
    """one sentence for each row that breaks the schema; such a row is not in `rows`"""
    may_write: bool | None
    """whether the user that reads could also write"""
    row_security: bool | None = None
    """whether policies of the database may have hidden rows from that user"""
    now: str = ""
    """the database's clock, ISO 8601, UTC"""
    jobs: Mapping[str, WorkerJobs] | None = None
    """by worker id; None: they were not read"""
    jobs_error: str = ""
    """why they could not be read, and what to do"""

    def worker(self, instance: str) -> WorkerRow | None:
        """The worker of an instance that is not offline: of several, the one with the latest heartbeat."""
        running = (row for row in self.rows if row.instance_id == instance and row.status != "offline")
        return min(running, key=lambda row: row.heartbeat_age, default=None)

    def jobs_of(self, instance: str) -> WorkerJobs | None:
        """The jobs of an instance's worker; None: nothing is known of them."""
        row = self.worker(instance)
        return (self.jobs or {}).get(row.worker_id) if row else None

    def last_worker(self, instance: str) -> WorkerRow | None:
        """The worker that was on an instance last, offline or not."""
        return min(
            (row for row in self.rows if row.instance_id == instance), key=lambda row: row.heartbeat_age, default=None
        )


# column -> field of WorkerRow, in the order of a result's row
COLUMNS = {
    "worker_id": "worker_id",
    "status": "status",
    "target_worker_id": "target_worker_id",
    "ec2_instance_id": "instance_id",
    "ec2_ip": "ip",
    "current_job_id": "job_id",
    "registered_at": "registered_at",
    "last_heartbeat": "last_heartbeat",
    "jobs_completed": "jobs_completed",
    "jobs_failed": "jobs_failed",
}
RESULT = {**COLUMNS, "heartbeat_age_seconds": "heartbeat_age"}


def result(
    now: float, raw_rows: Iterable[Mapping[str, Any]], may_write: bool | None, row_security: bool | None
) -> dict[str, Any]:
    """The module's result for a registry that could be read.

    :param now: the database's clock, seconds since 1970.
    :param raw_rows: a value for each of COLUMNS: times in seconds since 1970, everything else as text; None is NULL.
    """
    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    for raw in raw_rows:
        values, reasons = _read(raw, now)
        if reasons:
            broken.append(f"worker {_shown(raw['worker_id'])}: {', '.join(reasons)}")
        else:
            rows.append(values)
    return {
        **failure(""),
        "reachable": True,
        "now": _iso(now),
        "rows": rows,
        "broken": broken,
        "may_write": may_write,
        "row_security": row_security,
    }


def failure(error: str) -> dict[str, Any]:
    """The module's result for a registry that could not be read: the same keys."""
    return {
        "changed": False,
        "reachable": False,
        "error": error,
        "now": "",
        "rows": [],
        "broken": [],
        "may_write": None,
        "row_security": None,
    }


def from_result(result: Mapping[str, Any]) -> Registry:
    """The module's result as a value. A task that was skipped or crashed is a registry that could not be read."""
    if "reachable" not in result:
        return Registry(False, str(result.get("msg") or "The registry was not read."), (), (), None)
    rows = tuple(WorkerRow(**{field: row[name] for name, field in RESULT.items()}) for row in result["rows"])
    same = {field.name: result[field.name] for field in fields(Registry) if not field.name.startswith("jobs")}
    return Registry(**{**same, "rows": rows, "broken": tuple(result["broken"])})


def _read(raw: Mapping[str, Any], now: float) -> tuple[dict[str, Any], list[str]]:
    """(the row for the result, []), or (what could be read of it, why it is broken)."""
    values: dict[str, Any] = {}
    reasons: list[str] = []
    for column, rule in RULES.items():
        try:
            values[column] = rule(raw[column])
        except ValueError as problem:
            reasons.append(f"{column} {problem}")
    if "last_heartbeat" in values:
        age = now - raw["last_heartbeat"]
        if age < -FUTURE_SECONDS:
            reasons.append(f"last_heartbeat is {-age:.0f} s in the future")
        values["heartbeat_age_seconds"] = round(max(0.0, age), 3)  # a heartbeat sent while we read is 0 s old
    return values, reasons


def _name(text: str | None) -> str:
    if not text:
        raise ValueError("is empty")
    if len(text) > LONGEST_NAME or not text.isprintable():
        raise ValueError(f"is {_shown(text)}, not 1 to {LONGEST_NAME} printable characters")
    return text


def _status(text: str | None) -> str:
    if text not in STATUSES:
        raise ValueError(f"is {_shown(text)}, not one of {', '.join(STATUSES)}")
    return text


def _instance(text: str) -> str:
    if not re.fullmatch(r"i-([0-9a-f]{8}|[0-9a-f]{17})", text):
        raise ValueError(f"is {_shown(text)}, not an instance id")
    return text


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"is {_shown(text)}, not an address") from None


def _job(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ValueError(f"is {_shown(text)}, not a job id") from None


def _count(text: str | None) -> int:
    if text is None:  # the column's default is 0
        return 0
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ValueError(f"is {_shown(text)}, not a count")
    return int(text)


def _moment(seconds: float | None) -> str:
    if seconds is None:
        raise ValueError("is missing")
    if not math.isfinite(seconds):
        raise ValueError(f"is {seconds}")
    return _iso(seconds)


def _iso(seconds: float) -> str:
    try:
        return (EPOCH + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None


def _or_unknown(rule: Callable[[str], str]) -> Callable[[str | None], str | None]:
    return lambda text: None if text is None or text in UNKNOWN else rule(text)


def _shown(text: str | None) -> str:
    """A value for a sentence: escaped, and short."""
    return "NULL" if text is None else ascii(text if len(text) <= 60 else f"{text[:57]}...")


RULES: dict[str, Callable[[Any], Any]] = {
    "worker_id": _name,
    "status": _status,
    "target_worker_id": _or_unknown(_name),
    "ec2_instance_id": _or_unknown(_instance),
    "ec2_ip": _or_unknown(_address),
    "current_job_id": _or_unknown(_job),
    "registered_at": _moment,
    "last_heartbeat": _moment,
    "jobs_completed": _count,
    "jobs_failed": _count,
}
