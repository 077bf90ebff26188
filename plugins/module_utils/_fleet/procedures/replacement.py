# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace one instance that has no agent, without losing or doubling a job. Standard library only.

Nothing on such an instance drains its worker, and the worker's own drain and signals lose jobs or run them twice. So
the worker is frozen at a moment at which it seems idle, and the database is read while it cannot act: a claim that was
under way has arrived by then. Without a claim it is killed and never runs again; with one it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done

EVERY_SECONDS = 1.0
# A statement that the worker sent before it was frozen reaches the database in milliseconds; through a pooler's queue
# it takes longer.
SETTLE_SECONDS = 1.5
LOOKS = 2  # while it is frozen, SETTLE_SECONDS apart
# The host lets the worker go on by itself after that time, whatever became of this program.
FROZEN_SECONDS = 45.0
LATEST_SECONDS = 30.0  # after which a frozen worker is not killed any more: it may be about to go on
END_SECONDS = 600.0  # from TerminateInstance to the end of the instance, its hook completed at once
HOOKED, OUT = "Terminating:Wait", ("Terminating", "Detach")


class Claims(NamedTuple):
    """What the database knows of an instance's worker at one moment."""

    workers: tuple[str, ...]
    """its ids in the registry"""
    jobs: tuple[str, ...]
    """those that it has, each with its status"""
    fetched: tuple[str, ...]
    """those that some worker took from the queue a moment ago without claiming their row yet: maybe this one"""
    waiting: int
    """how many jobs wait for a worker"""

    @property
    def none(self) -> bool:
        return not (self.jobs or self.fetched)


class HostWorker(NamedTuple):
    """The worker as its host sees it."""

    containers: tuple[str, ...]
    """the ids of those that run"""
    active_jobs: int | None
    """as its status says; None: it does not answer"""


class HostError(Exception):
    """The host could not be asked, or did not do it. The text is one sentence."""


class Host(Protocol):
    """The way to one instance. Every method raises HostError."""

    def look(self) -> HostWorker: ...

    def freeze(self, containers: Sequence[str], seconds: float) -> None:
        """Stop these containers' processes, for `seconds` at most."""

    def unfreeze(self, containers: Sequence[str]) -> None: ...

    def kill(self, containers: Sequence[str]) -> None:
        """End these containers while they are frozen, for good. HostError where one is not frozen any more."""


class GroupClient(Protocol):
    """The group. Every method raises AwsError."""

    name: str

    def read(self) -> Group: ...

    def enter_standby(self, instance: str) -> None: ...

    def terminate(self, instance: str, decrement: bool) -> None: ...

    def complete_hook(self, instance: str) -> None: ...


class Stopped(Exception):
    """An instance could not be replaced. The text says why, and what to do."""


@dataclass
class Replacement:
    """The replacement of one instance.

    :param claims: (instance) -> what the database knows of its worker.
    :param host: the way to the instance; None: there is none, and the operator accepts that (`fleet_replace_unseen`).
    """

    group: GroupClient
    instance: str
    claims: Callable[[str], Claims]
    host: Host | None
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    log: Callable[[str], None]

    def run(self, timeout: float) -> None:
        """Replace the instance. Raises Stopped, AwsError, and whatever `claims` raises; the worker then goes on."""
        self._launch_another(timeout)
        if not self._stop_worker(timeout):
            raise Stopped(f"{self.instance} was not idle within {timeout:.0f} s: {self._reason}. {self._advice()}")
        self._end()

    # --- another instance first ---------------------------------------------------------------------------------------

    def _find(self) -> GroupInstance | None:
        return next((i for i in self.group.read().instances if i.id == self.instance), None)

    def _launch_another(self, timeout: float) -> None:
        """Put the instance on standby, where it goes on working and the group launches another one in its place.

        EC2 Auto Scaling User Guide, "Temporarily remove instances": without a lower desired capacity the group launches
        a replacement; an instance on standby is not counted, not scaled in and not checked for health.
        """
        found = self._find()
        if found and found.state == "InService":
            self.group.enter_standby(self.instance)

        def progress() -> Progress:
            group = self.group.read()
            serving = len(group.in_state("InService"))
            done = serving >= group.desired_capacity
            return Progress(done, f"{self.instance}: {serving} of {group.desired_capacity} others in service")

        if not until_done(progress, timeout, self.clock, self.sleep, self.log).done:
            raise Stopped(
                f"The replacement of {self.instance} was not in service within {timeout:.0f} s: "
                f"run verify.yml, which says why. {self.instance} goes on working, on standby."
            )

    # --- its worker ---------------------------------------------------------------------------------------------------

    _reason = ""
    _waiting = 0

    def _advice(self) -> str:
        backlog = (
            f"{self._waiting} jobs wait: under a backlog a worker begins the next job within milliseconds, so let more "
            "workers run (raise the desired capacity), or stop VALET's dispatch until the queue is empty. "
            if self._waiting
            else ""
        )
        return f"{backlog}It goes on working, on standby; run this again, or wait longer (fleet_replace_timeout)."

    def _stop_worker(self, timeout: float) -> bool:
        """Wait for a moment at which the worker has no job and takes none any more."""
        idle = 0

        def progress() -> Progress:
            nonlocal idle
            containers, reason = self._busy()
            self._reason = reason or self._reason
            idle = 0 if reason else idle + 1
            if idle < 2:
                return Progress(False, f"{self.instance}: {reason or 'idle, looking again'}")
            idle = 0
            done = self.host is None or self._freeze(self.host, containers)
            return Progress(done, f"{self.instance}: {'its worker has stopped' if done else self._reason}")

        return until_done(progress, timeout, self.clock, self.sleep, self.log, EVERY_SECONDS).done

    def _busy(self) -> tuple[tuple[str, ...], str]:
        """(the worker's containers, why it is not idle; empty: it is)."""
        claims = self.claims(self.instance)
        self._waiting = claims.waiting
        if not claims.none:
            return (), _claimed(claims)
        if self.host is None:
            return (), ""
        try:
            worker = self.host.look()
        except HostError as error:
            return (), f"its host cannot be asked ({error})"
        if worker.containers and worker.active_jobs is None:
            return (), "its worker does not answer"
        return worker.containers, f"its worker reports {worker.active_jobs} jobs" if worker.active_jobs else ""

    def _freeze(self, host: Host, containers: tuple[str, ...]) -> bool:
        """Freeze the worker, look, and end it or let it go on."""
        if not containers:  # no worker runs there
            return True
        began, ended = self.clock(), False
        try:
            host.freeze(containers, FROZEN_SECONDS)
            for _look in range(LOOKS):
                self.sleep(SETTLE_SECONDS)
                claims = self.claims(self.instance)
                if not claims.none:
                    self._reason = f"{_claimed(claims)}, taken as it was about to be stopped"
                    return False
            if self.clock() - began > LATEST_SECONDS:
                self._reason = "its host or the database answers too slowly"
                return False
            host.kill(containers)
            ended = True
        except HostError as error:
            self._reason = f"its worker could not be stopped ({error})"
            return False
        finally:
            if not ended:
                self._unfreeze(host, containers)
        return True

    def _unfreeze(self, host: Host, containers: tuple[str, ...]) -> None:
        try:
            host.unfreeze(containers)
        except HostError:
            self.log(f"{self.instance}: its worker goes on by itself, {FROZEN_SECONDS:.0f} s after it was frozen")

    # --- its end ------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self.group.terminate(self.instance, decrement=False)

        def progress() -> Progress:
            found = self._find()
            if found and found.state == HOOKED:
                self.group.complete_hook(self.instance)
            return Progress(found is None, f"{self.instance}: {found.state if found else 'gone'}")

        until_done(progress, END_SECONDS, self.clock, self.sleep, self.log)


def _claimed(claims: Claims) -> str:
    if claims.jobs:
        return f"it has job {', '.join(claims.jobs)}"
    return f"a worker, maybe this one, is taking job {', '.join(claims.fetched)}"
