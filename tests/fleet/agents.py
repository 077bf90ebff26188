"""Agents that only answer: what they write to their instances' tags is what docs/agent.md promises of the real ones."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import DID, WANT, Wish

from tests.fleet.fleet import GROUP
from tests.fleet.healthy import HealthyFleet


class Agents:
    """One for each instance of the fleet, while this context lasts.

    Args:
        works: for how many seconds an agent's worker has a job.
        fails: instance -> why its agent fails renew and release.
        silent: instances whose agent does not answer.

    Attributes:
        answers: what they have written, (instance, text), in order.
        restarting: how many had begun at the same time, at most.
    """

    def __init__(
        self, fleet: HealthyFleet, works: float = 0.5, fails: Mapping[str, str] | None = None, *silent: str
    ) -> None:
        self._fleet, self.works, self.fails, self.silent = fleet, works, dict(fails or {}), set(silent)
        self.answers: list[tuple[str, str]] = []
        self.restarting = 0
        self._begun: dict[str, tuple[Wish, float]] = {}
        self._done: dict[str, str] = {}
        self._stop = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def answered(self, id: str) -> str:
        """The last one of an instance; empty: none."""
        return next((text for one, text in reversed(self.answers) if one == id), "")

    def _run(self) -> None:
        while not self._stop.wait(0.3):
            for id, state in self._fleet.lifecycle_states(GROUP).items():
                if state in ("InService", "Pending:Wait", "Standby") and id not in self.silent:
                    self._answer(id)

    def _answer(self, id: str) -> None:
        wish = Wish.parse(tags(self._fleet, id).get(WANT, ""))
        if wish is None or self._done.get(id) == wish.id:
            return
        begun, since = self._begun.get(id, (None, 0.0))
        if begun != wish:
            self._begun[id] = (wish, time.monotonic())
            self._write(id, f"{wish.verb}@{wish.id} begun")
            self.restarting = max(self.restarting, len(self._begun))
        elif time.monotonic() - since >= self.works:
            reason = self.fails.get(id, "") if wish.verb in ("renew", "release") else ""
            self._done[id] = wish.id
            del self._begun[id]
            self._write(id, f"{wish.verb}@{wish.id} {f'failed {reason}' if reason else 'done'}")

    def _write(self, id: str, text: str) -> None:
        self.answers.append((id, text))
        self._fleet.tag(id, DID, text)


def tags(fleet: HealthyFleet, id: str) -> dict[str, str]:
    """An instance's tags."""
    found: list[dict[str, Any]] = fleet.client("ec2").describe_tags(Filters=[{"Name": "resource-id", "Values": [id]}])[
        "Tags"
    ]
    return {tag["Key"]: tag["Value"] for tag in found}


def show_tags(fleet: HealthyFleet, shown: bool = True) -> None:
    """Let instances see their tags in their metadata, or not."""
    for id in fleet.lifecycle_states(GROUP):
        fleet.client("ec2").modify_instance_metadata_options(
            InstanceId=id, InstanceMetadataTags="enabled" if shown else "disabled"
        )
