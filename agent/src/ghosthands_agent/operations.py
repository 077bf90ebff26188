"""Change in place: hold, resume, renew, release (docs/agent.md, "Wishes"). Done by `watch`, one at a time.

A drain beats all of them: it ends what is under way here at its next pause, and goes on from what it finds. So does a
kill of the agent: the record says how far a wish came, everything else is read again, and each step may be repeated.

The guard's drain cannot be taken back in the worker's process, so a worker that was drained for a wish is followed by
another one, started when it is idle: `Control.restart`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .channel import Channel
from .drain import Reading, forget_signals, stop_workers, terminate, wait_until_drained
from .monitor import CHECK_SECONDS, Monitor
from .passing_errors import BackOff, passes
from .paths import Paths
from .ports import (
    API,
    DEPLOY_SERVER,
    WORKER,
    FileName,
    Phase,
    PortError,
    Procedure,
    Refused,
    Task,
    Unavailable,
    WorkerStatus,
)
from .settings import Settings
from .termination import worker_stop_timeout
from .wishes import State, Wish, parse, repository

T = TypeVar("T")

POLL_SECONDS = 0.25
PAUSE, LONGEST_PAUSE = 1.0, 10.0
#: So often may docker start a new worker's process again, or `up` find that it has ended, before that is given up.
ENDS = 3
RESTARTS_SECONDS = 5.0  # between two questions to docker how often it was
SILENT_SECONDS = (
    60.0  # a worker's process without its port for so long never takes jobs, or not any more: it is stopped
)
AGAIN_SECONDS = 60.0  # a worker that cannot be started after a wish is tried again after that time
BOOTS = 2  # so many of its limits may a boot take before a wish that needs its worker fails


class Failed(Exception):
    """The wish cannot be fulfilled; the text is the reason, in names and codes."""


class Operations:
    """What `watch` does for wishes, between its checks."""

    def __init__(self, monitor: Monitor, paths: Paths) -> None:
        self.monitor = monitor
        self.channel: Channel = monitor.channel
        self.ports = monitor.ports
        self.settings: Settings = monitor.settings
        self.paths = paths
        self._task: Task[Any] | None = None
        self._began = monitor.now
        self._next_restart = 0.0
        self._latest = float("inf")  # a job that still runs then is stopped

    def pursue(self) -> Procedure[None]:
        """Do what there is to do. Ends when that is done, or has to wait for boot, or a drain is to begin."""
        while not self.monitor.causes():
            if (wish := self.channel.next_wish()) is not None:
                self._begin(wish)
            if (operation := self._next()) is None:
                return
            yield from self._until_interrupted(operation)
            yield from self.monitor.pause(POLL_SECONDS)

    def _begin(self, wish: Wish) -> None:
        """Begin a wish in place of the one under way, of which everything stays as it is: the record says what."""
        self._began = self.monitor.now
        if wish.verb == "hold":
            self.channel.begin(wish, held=True, restart=True)
        elif wish.verb == "resume":
            self.channel.begin(wish, held=False)
        else:
            self.channel.begin(wish, phase="prepare")

    def _next(self) -> Procedure[None] | None:
        """What is to be done now; None: nothing, or boot has to complete first."""
        control, wish = self.channel.control, parse(self.channel.control.wish)
        if control.held and _takes_jobs(self.monitor.worker()):
            return self._hold(wish if wish is not None and wish.verb == "hold" else None)
        if wish is None and (control.held or not control.restart or self.monitor.now < self._next_restart):
            return None
        if not self._boot_has_completed():
            waited = self.monitor.now - self._began
            if wish is not None and wish.verb != "hold" and waited > BOOTS * self.settings.boot_timeout_seconds:
                self.channel.end(wish, "failed", "boot has not completed")
            return None
        return self._hold(wish) if wish is not None and wish.verb == "hold" else self._fulfil(wish)

    def _until_interrupted(self, operation: Procedure[None]) -> Procedure[None]:
        """Run it until it ends, a drain is to begin, or a newer wish takes its place."""
        silent_since = self.monitor.now
        for pause in operation:
            yield pause
            if self.monitor.port_in_use:
                silent_since = self.monitor.now
            self.monitor.limit = min(self._latest, silent_since + SILENT_SECONDS)
            if self.monitor.causes() or self._is_superseded():
                if self._task is not None:
                    self._task.cancel()
                break
        self._task, self._latest, self.monitor.limit = None, float("inf"), float("inf")

    def _is_superseded(self) -> bool:
        """Whether a newer wish takes the place of what is under way: not while a worker is started, but to hold it."""
        if (newer := self.channel.next_wish()) is None:
            return False
        starts = self._phase == "start" or (self._phase == "back" and not self.channel.control.unverified)
        return newer.verb == "hold" if starts else self._phase != "back"

    # --- hold ---------------------------------------------------------------------------------------------------------

    def _hold(self, wish: Wish | None) -> Procedure[None]:
        """Have the worker take no more jobs, and wait for the end of the running one.

        With a guard it stays, draining: its registry entry says so. Without one that would not keep it from taking
        jobs, so it is stopped when it is seen idle.

        :param wish: the wish; None: on a held instance a worker takes jobs, as one that somebody else has started.
        """
        self.channel.change(restart=True)
        if wish is None:
            self.ports.journal.step("held_worker_takes_jobs", "warning")
        reading = Reading()
        reason = yield from wait_until_drained(self.monitor, reading)
        last = reading.process.last
        if reason == "gone":
            forget_signals(self.monitor)  # of an earlier run of the agent, which was killed before it could
        elif last is None or not last.guarded:
            yield from terminate(self.monitor, reading, reason, others=False)
        if wish is not None:
            self.channel.end(wish, "done")
        yield from self._start_others()

    def _start_others(self) -> Procedure[None]:
        """Start api and deploy-server of a held instance, which an earlier wish may have stopped."""
        try:
            services = self.ports.compose.services()
            if all(name in services and services[name].runs for name in (API, DEPLOY_SERVER)):
                return
        except PortError as error:
            self.monitor.report_failure("services", error)
        try:
            yield from self._call(lambda: self.ports.compose.up((API, DEPLOY_SERVER)), self._limit())
        except Failed as failure:
            self.ports.journal.step("services_not_started", "warning", reason=str(failure))

    # --- resume, renew, release ---------------------------------------------------------------------------------------

    def _fulfil(self, wish: Wish | None) -> Procedure[None]:
        """Carry out the wish, from the phase on that the record says.

        :param wish: None: a worker that was drained for an earlier one is followed by the next.
        """
        state: State = "done"
        try:
            reason = yield from self._phases(wish)
        except (Failed, PortError) as failure:
            state, reason = "failed", str(failure)
        if state == "failed" and self._phase != "prepare":
            self._next_restart = self.monitor.now + AGAIN_SECONDS
        if wish is not None:
            self.channel.end(wish, state, reason)
        else:
            self.channel.change(phase="", reason="")
            if state == "failed":
                self.ports.journal.step("resume_failed", "error", reason=reason)

    def _phases(self, wish: Wish | None) -> Procedure[str]:
        """Each phase ends with the record of the next; the reason that goes with `done`. Raises Failed, PortError."""
        if self._phase == "":
            yield from self._local(lambda: self.ports.files.remove("next_environment"))
            if not self.channel.control.restart:
                return ""  # nothing was held: a worker that is missing is somebody else's deployment, or unfit
            if self._has_worker():
                yield from self._verified()
                return ""
            yield from self._enter("switch", restart=True)
        elif self._phase == "prepare" and wish is not None:
            text = yield from (self._renewed() if wish.verb == "renew" else self._released(wish))
            current = yield from self._local(lambda: self.ports.files.read("environment"))
            if text == current and not self.channel.control.unverified:
                return "unchanged"
            yield from self._write("next_environment", text)
            yield from self._enter("switch", restart=True)
        if self._phase == "switch":
            yield from self._stop_worker(wish)
        if self._phase == "start":
            if (text_ := (yield from self._local(lambda: self.ports.files.read("next_environment")))) is not None:
                yield from self._write("environment", text_)
            if self.channel.control.held:
                yield from self._start_others()
                yield from self._local(lambda: self.ports.files.remove("next_environment"))
                return "held: its worker starts with the next resume"
            try:
                yield from self._start_worker()
                yield from self._verified()
                return ""
            except Failed as failure:
                if not self.channel.control.unverified:
                    raise
                yield from self._enter("back", reason=str(failure))
        yield from self._go_back()
        raise Failed(self.channel.control.reason)

    @property
    def _phase(self) -> Phase:
        return self.channel.control.phase

    def _renewed(self) -> Procedure[str]:
        """The `.env`'s text with the secret as it is now, and a fresh registry login."""
        from .environment import BadSecret, worker_environment  # nothing of boot, unless it is needed

        limit = self._limit()
        secret = yield from self._call(self.ports.secret.fetch, limit)
        yield from self._call(self.ports.registry.login, limit)
        instance = yield from self._local(self.ports.metadata.instance)
        image = self.channel.control.image_instead_of(self.settings.image)
        try:
            return worker_environment(self.settings, self.paths, instance, secret, image)
        except BadSecret as bad:
            raise Failed(str(bad)) from None

    def _released(self, wish: Wish) -> Procedure[str]:
        """The `.env`'s text with the released image, which docker has by then."""
        from .environment import with_image

        image, limit = self._image(wish), self._limit()
        if (text := (yield from self._local(lambda: self.ports.files.read("environment")))) is None:
            raise Failed("there is no .env")
        if not (yield from self._local(lambda: self.ports.images.present(image))):
            yield from self._call(self.ports.registry.login, limit)
            yield from self._call(lambda: self.ports.images.pull(image), limit)
        return with_image(text, image)

    def _image(self, wish: Wish) -> str:
        return f"{repository(self.settings.image)}@{wish.digest}"

    def _stop_worker(self, wish: Wish | None) -> Procedure[None]:
        """Stop the worker when it is idle, and note what the next one starts with."""
        if self._is_stopped():
            forget_signals(self.monitor)
        elif not (yield from stop_workers(self.monitor)):
            raise Failed("the worker does not stop")
        control, changes = self.channel.control, dict[str, Any]()
        if (yield from self._local(lambda: self.ports.files.read("next_environment"))) is not None:
            if not control.unverified:
                before = yield from self._local(lambda: self.ports.files.read("environment"))
                yield from self._write("previous_environment", before or "")
                changes = {"unverified": True, "previous_image": control.image}
            if wish is not None and wish.verb == "release":
                changes |= {"image": self._image(wish), "template_image": self.settings.image}
        yield from self._enter("start", **changes)

    def _start_worker(self) -> Procedure[None]:
        """Start the project, and wait until its worker is registered. Raises Failed."""
        limit, ended, next_look, found = self._limit(), 0, self.monitor.now + RESTARTS_SECONDS, "no answer"
        yield from self._local(lambda: self.ports.records.clear_flag("stopping"))
        yield from self._remove_foreign()
        before = yield from self._local(lambda: self.ports.compose.restarts(WORKER))
        back_off = BackOff(self.ports.random, PAUSE, LONGEST_PAUSE)
        up: Task[None] | None = self._begin_task(self.ports.compose.up)
        while self.monitor.now < limit:
            if up is not None and up.done():
                try:
                    up.result()
                    up = self._task = None
                except Refused as error:
                    raise Failed(str(error)) from None
                except Unavailable as error:
                    found, ended = str(error), ended + (" exited " in error.code or error.code.startswith("unhealthy"))
                    if ended >= ENDS:
                        raise Failed(found) from None
                    yield from self._wait(back_off.pause())
                    up = self._begin_task(self.ports.compose.up)
            if up is None and self._has_worker():
                status = self.monitor.worker()
                if status is not None and not status.guarded and self.settings.worker_guard == "required":
                    raise Failed(f"worker guard absent: {status.guard_absence}")
                return
            if self.monitor.now >= next_look:
                next_look = self.monitor.now + RESTARTS_SECONDS
                restarts = yield from self._local(lambda: self.ports.compose.restarts(WORKER))
                if (again := restarts - before if restarts >= before else restarts) >= ENDS:  # fewer: a new container
                    raise Failed(f"the worker ends again and again, {again} times so far")
            yield from self._wait(POLL_SECONDS)
        if up is not None:
            up.cancel()
        raise Failed(f"the worker is not registered after {self.settings.boot_timeout_seconds} s: {found}")

    def _remove_foreign(self) -> Procedure[None]:
        """Remove the stopped containers of a worker that somebody else has started, as deploy-server does."""
        found = (yield from self._local(self.ports.compose.containers)).get(WORKER, ())
        if foreign := [each.container for each in found if each.foreign]:
            grace = worker_stop_timeout(self.settings)
            yield from self._call(lambda: self.ports.compose.remove(foreign, grace), self._limit())

    def _go_back(self) -> Procedure[None]:
        """Put the `.env` before back, and start a worker with it. Raises Failed if that one does not start either."""
        if self.channel.control.unverified:
            self._latest = self.monitor.now + self.settings.drain_limit_seconds
            if not (yield from stop_workers(self.monitor)):
                raise Failed(f"{self.channel.control.reason}, and the worker does not stop")
            if before := (yield from self._local(lambda: self.ports.files.read("previous_environment"))):
                yield from self._write("environment", before)
            yield from self._enter("back", unverified=False, image=self.channel.control.previous_image)
        try:
            yield from self._start_worker()
        except Failed as failure:
            reason = f"{self.channel.control.reason}. The former worker does not start either: {failure}"
            yield from self._enter("back", reason=reason)
        else:
            yield from self._verified()

    def _verified(self) -> Procedure[None]:
        """A worker runs with this `.env`: the record says so, then the other ones go."""
        yield from self._enter(self._phase, restart=False, unverified=False)
        yield from self._local(lambda: self.ports.files.remove("next_environment"))
        yield from self._local(lambda: self.ports.files.remove("previous_environment"))

    # --- what it looks at ---------------------------------------------------------------------------------------------

    def _has_worker(self) -> bool:
        """Whether a worker answers with this instance's id, and takes jobs."""
        status = self.monitor.worker()
        return status is not None and status.registered_as(self.channel.control.instance) and not status.is_draining

    def _is_stopped(self) -> bool:
        """Whether an earlier run of the agent has stopped the worker, and nobody starts another one."""
        self.monitor.worker()
        try:
            services = self.ports.compose.services()
        except PortError:
            return False
        return not self.monitor.port_in_use and all(
            name not in services or services[name].down for name in (WORKER, DEPLOY_SERVER)
        )

    def _boot_has_completed(self) -> bool:
        try:
            record = self.ports.records.boot()
        except PortError as error:
            self.monitor.report_failure("boot_record", error)
            return False
        return record is not None and record.state == "completed"

    def _limit(self) -> float:
        """The time by which what begins now has to be done."""
        return self.monitor.now + self.settings.boot_timeout_seconds

    # --- waits --------------------------------------------------------------------------------------------------------

    def _enter(self, phase: Phase, **changes: Any) -> Procedure[None]:
        """Record the phase before anything of it is done. Waits until it is written."""
        self.channel.change(phase=phase, **changes)
        while not self.channel.saved:
            yield from self._wait(CHECK_SECONDS)

    def _write(self, name: FileName, text: str) -> Procedure[None]:
        if (yield from self._local(lambda: self.ports.files.write(name, text))):
            self.ports.journal.step("file_written", file=name)

    def _local(self, call: Callable[[], T]) -> Procedure[T]:
        """The result of a call on this host, tried again until it works: once something was changed, it has to."""
        back_off = BackOff(self.ports.random, PAUSE, LONGEST_PAUSE)
        while True:
            try:
                return call()
            except Unavailable as error:
                self.monitor.report_failure("operation", error)
            yield from self._wait(back_off.pause())

    def _call(self, start: Callable[[], Task[T]], limit: float) -> Procedure[T]:
        """The result of a task, started again after an error that passes. Raises Failed."""
        began, back_off = self.monitor.now, BackOff(self.ports.random, PAUSE)
        while True:
            task = self._begin_task(start)
            while not task.done():
                if self.monitor.now >= limit:
                    task.cancel()
                    raise Failed(f"{self.channel.control.phase}: not done in {self.settings.boot_timeout_seconds} s")
                yield from self._wait(POLL_SECONDS)
            try:
                return task.result()
            except PortError as error:
                if not passes(error, self.monitor.now - began) or self.monitor.now >= limit:
                    raise Failed(str(error)) from None
                self.monitor.report_failure("operation", error)
            yield from self._wait(back_off.pause())

    def _begin_task(self, start: Callable[[], Task[T]]) -> Task[T]:
        """Start a task that is cancelled if what is under way is interrupted."""
        self._task = task = start()
        return task

    def _wait(self, seconds: float) -> Procedure[None]:
        """Wait, while the worker's protection is kept up to date."""
        until = self.monitor.now + seconds
        while self.monitor.now < until:
            yield from self.monitor.pause(min(CHECK_SECONDS, until - self.monitor.now))
            self.monitor.worker()


def _takes_jobs(status: WorkerStatus | None) -> bool:
    return status is not None and not status.is_draining
