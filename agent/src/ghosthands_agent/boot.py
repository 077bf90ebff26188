"""From a started host to a registered worker, in phases that are timed and recorded and share one deadline.

It may be run again at any time: files are written only where they differ, and Compose changes only what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from .compose_override import compose_override
from .environment import BadSecret, worker_environment
from .fitness import RESTARTS
from .log_shipper import log_shipper_configuration
from .passing_errors import BackOff, alike, passes
from .paths import Paths
from .ports import (
    API,
    DEPLOY_SERVER,
    FINAL_TARGETS,
    NO_ACTIVE_ACTION,
    SERVICES,
    SERVING_TARGETS,
    WAITING_PHASE,
    WORKER,
    BootRecord,
    Control,
    FileName,
    Instance,
    PortError,
    Ports,
    Procedure,
    Refused,
    Service,
    Task,
    Unavailable,
    WorkerStatus,
)
from .settings import Settings
from .termination import worker_stop_timeout

T = TypeVar("T")

DRAIN_FLAGS = {"terminated", "spot", "requested"}
POLL_SECONDS = 0.1
CHECK_SECONDS = 1.0
LOCAL_PAUSE, LONGEST_LOCAL_PAUSE = 0.2, 5.0  # of calls on this host, which nobody else waits for
PAUSE = 1.0  # the longest first one of AWS's calls and of commands
PULL_TRIES = 3  # then the baked image, if that is allowed; otherwise more tries until the deadline
LOOP_CHECK_SECONDS = 5.0  # a look is two calls of docker
REPORT_SECONDS = 60.0
POOL_HOOK_SECONDS = 30.0
ANSWER_SECONDS = 10.0  # a worker that docker has just started answers within a few seconds
ATTEMPTS = 4  # a deployment in progress starts a worker once more
TAKEOVER_SECONDS = 30.0  # what boot needs after it has waited for somebody else's worker
#: From a failure to the next try, with systemd's RestartSec and the start of the process: what was wrong may be put
#: right outside at any time, and a minute later the worker should run. Whether the instance is replaced, watch decides.
RETRY_SECONDS = 20.0


class Failed(Exception):
    """This boot cannot succeed; the text is the reason, in names and codes, `output` a command's last lines."""

    def __init__(self, reason: str, output: str = "") -> None:
        super().__init__(reason)
        self.output = output


class Withdrawn(Exception):
    """The instance is to terminate: nothing may be started on it."""


def boot(ports: Ports, settings: Settings, paths: Paths) -> Procedure[int]:
    """Bring the worker up; the exit code.

    0: registered, or nothing to start. 1: failed, and it is time for the next try, which systemd starts.
    """
    attempt = _Boot(ports, settings, paths)
    try:
        yield from attempt.run()
    except Withdrawn:
        yield from attempt.withdraw()
        return 0
    except (Failed, PortError) as failure:
        return (yield from attempt.fail(str(failure), failure.output))
    return 0


class _Boot:
    """One attempt. Every method that waits is a procedure."""

    def __init__(self, ports: Ports, settings: Settings, paths: Paths) -> None:
        self.ports = ports
        self.settings = settings
        self.paths = paths
        self.deadline = self.now + settings.boot_timeout_seconds
        self.record = BootRecord("running", "", "", 0, ports.clock.wall(), {})
        self._phase_began = self.now
        self._next_check = 0.0
        self._first_errors_pass_from = self.now
        self._login: Task[None]
        self._login_failure = ""
        self._retried: PortError | None = None
        self._retries = 0
        self._retried_since = 0.0

    @property
    def now(self) -> float:
        return self.ports.clock.monotonic()

    def run(self) -> Procedure[None]:
        before = yield from self._until_available(self.ports.records.boot)
        if before is not None and before.state != "completed":
            self.record = replace(
                self.record,
                failures=before.failures,
                failure=before.failure,
                failing_since=before.failing_since,
            )
            if before.failures:
                self._first_errors_pass_from = float("-inf")
        yield from self._phase("facts")
        yield from self._wait_for_service((yield from self._withdraw_if_terminating()))
        secret, self._login = self.ports.secret.fetch(), self.ports.registry.login()  # while the metadata is read
        instance = yield from self._until_available(self.ports.metadata.instance)
        yield from self._phase("secret")
        text = yield from self._repeat(self.ports.secret.fetch, secret)
        yield from self._phase("files")
        control = yield from self._control(instance.id)
        desired = control.image_instead_of(self.settings.image)
        yield from self._write_files(instance, text, desired)
        if control.phase == "start":  # what a wish was about to put in place: this one is newer
            yield from self._until_available(lambda: self.ports.files.remove("next_environment"))
        yield from self._phase("image")
        image = yield from self._ensure_image(desired)
        if image != desired:
            yield from self._write("environment", self._environment(instance, text, image))
        self.record = replace(self.record, image=image)
        yield from self._phase("start")
        yield from self._until_available(lambda: self.ports.records.clear_flag("stopping"))
        yield from self._withdraw_if_terminating()
        if held := (yield from self._control(instance.id)).held:
            yield from self._compose_up((API, DEPLOY_SERVER))
            self.ports.journal.step("boot_held", "warning")
        else:
            yield from self._start_services(instance.id)
            yield from self._phase("registration")
            status = yield from self._wait_for_registration(instance.id)
            yield from self._record_guard(status)
        yield from self._phase("launch_hook")
        yield from self._complete_launch_hook()
        yield from self._phase("")
        yield from self._write_record(replace(self.record, state="completed", reason="", output="", tries=0))
        seconds = round(sum(self.record.seconds.values()), 2)
        self.ports.journal.step("boot_completed", image=image, guard=self.record.guard, held=held, seconds=seconds)
        yield from self._login_at_last()

    def withdraw(self) -> Procedure[None]:
        self.ports.journal.step("boot_withdrawn", phase=self.record.phase)
        self.deadline = self.now + REPORT_SECONDS
        try:
            yield from self._write_record(replace(self.record, state="withdrawn"))
        except (Failed, PortError) as failure:
            self.ports.journal.step("boot_record_failed", "error", reason=str(failure))

    def fail(self, reason: str, output: str) -> Procedure[int]:
        """Record the reason, and wait; the exit code."""
        failures, failure = self.record.failures + 1, f"{self.record.phase}: {reason}"
        said = {} if failures > 1 and failure == self.record.failure else _said(output)  # once, however often it fails
        self._end_retries()
        self.ports.journal.step(
            "boot_failed", "error", phase=self.record.phase, reason=reason, failures=failures, **said
        )
        if self.record.phase in ("start", "registration") and self.settings.worker_guard != "off":
            self._note_guard(self.record.guard or f"absent: no worker answers: {reason}")
        self.deadline = self.now + REPORT_SECONDS
        try:
            yield from self._write_record(
                replace(
                    self.record,
                    state="failed",
                    reason=reason,
                    output=output,
                    tries=0,
                    failures=failures,
                    failure=failure,
                    failing_since=self.record.failing_since or self.now,
                )
            )
            over = self.now + RETRY_SECONDS
            while self.now < over:
                yield CHECK_SECONDS
                self._check_termination()
        except Withdrawn:
            yield from self.withdraw()
            return 0
        except (Failed, PortError) as failure:
            self.ports.journal.step("boot_report_failed", "error", reason=str(failure))
        return 1

    # --- phases ---

    def _phase(self, name: str) -> Procedure[None]:
        """End the current phase and begin `name`, which is recorded before anything of it is done."""
        ended, seconds = self.record.phase, round(self.now - self._phase_began, 3)
        self._phase_began = self.now
        if ended:
            self.ports.journal.step("boot_phase", phase=ended, seconds=seconds)
            self.record = replace(self.record, seconds={**self.record.seconds, ended: seconds})
        if name:
            began = self.ports.clock.wall()
            yield from self._write_record(
                replace(self.record, phase=name, phase_began=began, reason="", output="", tries=0)
            )

    def _wait_for_service(self, target: str | None) -> Procedure[None]:
        """Wait until a worker may be started: not in a warm pool, and not while the root volume is replaced.

        A launch hook also holds instances that enter a warm pool. It is completed, or they could not.
        """
        logged, next_completion = None, self.now
        while target not in SERVING_TARGETS:
            if self.record.phase != WAITING_PHASE:
                yield from self._phase(WAITING_PHASE)
            if target != logged:
                logged, next_completion = target, self.now
                self.ports.journal.step("boot_waits_for_service", state=target)
            if self.now >= next_completion:  # the state may be seen a moment before the hook's action exists
                done = yield from self._complete_launch_hook()
                next_completion = float("inf") if done else self.now + POOL_HOOK_SECONDS
            yield CHECK_SECONDS
            self.deadline = self.now + self.settings.boot_timeout_seconds
            target = yield from self._withdraw_if_terminating()

    def _write_files(self, instance: Instance, secret: str, image: str) -> Procedure[None]:
        yield from self._write("environment", self._environment(instance, secret, image))
        if self.settings.worker_guard != "off" and (yield from self._until_available(self.ports.files.install_guard)):
            self.ports.journal.step("file_written", file="guard")
        yield from self._write("override", compose_override(self.settings, self.paths))
        if (configuration := log_shipper_configuration(self.settings)) is not None:
            yield from self._write("log_shipper", configuration)

    def _environment(self, instance: Instance, secret: str, image: str) -> str:
        try:
            return worker_environment(self.settings, self.paths, instance, secret, image)
        except BadSecret as bad:
            raise Failed(str(bad)) from None

    def _write(self, name: FileName, text: str) -> Procedure[None]:
        if (yield from self._until_available(lambda: self.ports.files.write(name, text))):
            self.ports.journal.step("file_written", file=name)

    def _control(self, instance_id: str) -> Procedure[Control]:
        """What operators want of this instance, as far as `watch` has seen it by now."""
        control = yield from self._until_available(self.ports.records.control)
        return control if control.instance == instance_id else Control()

    def _ensure_image(self, desired: str) -> Procedure[str]:
        """Pull the image; the reference to run: the baked one only if the pull fails and the settings allow it."""
        baked = None
        if self.settings.image_fallback == "baked":
            baked = yield from self._until_available(self.ports.images.baked)
        if "@" in desired and (yield from self._until_available(lambda: self.ports.images.present(desired))):
            return desired  # a digest names one image for ever; a tag may mean another one by now
        logged_in = yield from self._wait_for_login()
        tries, back_off = 0, BackOff(self.ports.random, PAUSE)
        while True:
            tries += 1
            try:
                yield from self._wait_for(self.ports.images.pull(desired))
                self._end_retries()
                return desired
            except PortError as error:
                permanent = not self._passes(error)
                if baked is not None and (permanent or tries >= PULL_TRIES):
                    self._end_retries()
                    self.ports.journal.step(
                        "image_fallback",
                        "warning",
                        desired=desired,
                        image=baked,
                        call=error.call,
                        code=error.code,
                        **_said(error.output),
                    )
                    return baked
                if permanent:
                    raise self._gives_up(error) from None
                yield from self._pause_after(error, back_off, checks=True)
                if not logged_in:
                    self._login = self.ports.registry.login()
                    logged_in = yield from self._wait_for_login()

    def _login_at_last(self) -> Procedure[None]:
        """Log in where the image needed no login and the first one failed: the timer's is four hours away.

        The worker runs by now: what fails here, or the end of the instance, does not concern the boot.
        """
        back_off = BackOff(self.ports.random, PAUSE)
        while True:
            try:
                yield from self._wait_for(self._login)
                return
            except PortError as error:
                if not self._passes(error) or self.now >= self.deadline:
                    return
            except (Failed, Withdrawn):
                return
            yield back_off.pause()
            self._login = self.ports.registry.login()

    def _wait_for_login(self) -> Procedure[bool]:
        """Wait for the registry login; whether it worked. A failure is logged: the pull shows if one was needed."""
        try:
            yield from self._wait_for(self._login)
        except PortError as error:
            if self._login_failure != (failure := str(error)):
                self._login_failure = failure
                self.ports.journal.step("registry_login_failed", "warning", call=error.call, code=error.code)
            return False
        return True

    def _start_services(self, instance_id: str) -> Procedure[None]:
        """Start the project, in place of what somebody else has started of it: two workers on a host lose jobs.

        A worker of somebody else that is busy is never cut off: it is replaced once it is idle, or stays.
        """
        for _attempt in range(ATTEMPTS):
            if not _foreign((yield from self._containers())):
                yield from self._compose_up(SERVICES)
                return
            live = yield from self._live_foreign_workers(instance_id)
            yield from self._remove(_to_replace((yield from self._containers()), live))
            if live:
                yield from self._compose_up((API, DEPLOY_SERVER))
                if not (yield from self._wait_until_idle(live)):
                    self.ports.journal.step("foreign_worker_stays", "error", containers=_names(live))
                    return
                yield from self._remove(live)
        raise Failed("somebody starts containers of the project again and again")

    def _containers(self) -> Procedure[Mapping[str, Sequence[Service]]]:
        return (yield from self._until_available(self.ports.compose.containers))

    def _running_workers(self) -> Procedure[list[Service]]:
        return [each for each in (yield from self._containers()).get(WORKER, ()) if each.runs]

    def _live_foreign_workers(self, instance_id: str) -> Procedure[list[Service]]:
        """The containers of others of which one is the worker that answers as this instance's; else none.

        It is one, unless the owner of the port cannot be read.
        """
        until = self.now + ANSWER_SECONDS
        while True:
            self._check_termination()
            workers = yield from self._running_workers()
            listening = [each for each in workers if each.listens] or workers
            if not (live := [each for each in listening if each.foreign]):
                return []
            try:
                return live if self.ports.worker.status().registered_as(instance_id) else []
            except Unavailable:
                if self.now >= until:
                    return []
            yield CHECK_SECONDS

    def _wait_until_idle(self, live: list[Service]) -> Procedure[bool]:
        """Wait until somebody else's worker is idle or has ended; False if it is busy until boot has to go on."""
        until, ids, logged = self.deadline - TAKEOVER_SECONDS, {each.container for each in live}, False
        while self.now < until:
            self._check_termination()
            try:
                busy = self.ports.worker.status().busy
            except Unavailable:  # also if its process is busy with a browser
                busy = any(each.container in ids for each in (yield from self._running_workers()))
            if not busy:
                return True
            if not logged:
                logged = True
                self.ports.journal.step(
                    "foreign_worker_busy", "warning", containers=_names(live), seconds_left=round(until - self.now)
                )
            yield POLL_SECONDS
        return False

    def _remove(self, containers: list[Service]) -> Procedure[None]:
        """Stop containers, with the time that a worker needs to release a job, and remove them."""
        if containers:
            self.ports.journal.step("containers_replaced", "warning", containers=_names(containers))
            ids, grace = [each.container for each in containers], worker_stop_timeout(self.settings)
            yield from self._repeat(lambda: self.ports.compose.remove(ids, grace))

    def _compose_up(self, services: Collection[str]) -> Procedure[None]:
        yield from self._repeat(lambda: self.ports.compose.up(services))

    def _repeat(self, start: Callable[[], Task[T]], started: Task[T] | None = None) -> Procedure[T]:
        """The result of a task, of `started` first; it is started again after an error that passes."""
        task, back_off = started or start(), BackOff(self.ports.random, PAUSE)
        while True:
            try:
                result = yield from self._wait_for(task)
            except PortError as error:
                yield from self._pause_after(error, back_off, checks=True)
                task = start()
            else:
                self._end_retries()
                return result

    def _wait_for_registration(self, instance_id: str) -> Procedure[WorkerStatus]:
        """Wait until the worker answers with this instance's id; its status.

        A worker that crashes in a loop fails the boot long before the deadline: the next try reads the secret again.
        """
        found, restarts, next_look = "no answer", -1, self.now + LOOP_CHECK_SECONDS
        while self.now < self.deadline:
            if self.now >= next_look:
                next_look = self.now + LOOP_CHECK_SECONDS
                restarts = self._check_crash_loop(restarts)
            self._check_termination()
            try:
                status = self.ports.worker.status()
                if status.registered_as(instance_id):
                    return status
                found = "another id"
            except Unavailable as error:
                found = error.code
            yield POLL_SECONDS
        raise Failed(f"worker status: {found}")

    def _check_crash_loop(self, before: int) -> int:
        """How often docker has started the worker again. Raises Failed if it does so again and again.

        :param before: at the last look; negative: this is the first one.
        """
        try:
            worker = self.ports.compose.services().get(WORKER)
            restarts = self.ports.compose.restarts(WORKER)
        except PortError:
            return before
        waits = worker is not None and worker.state == "restarting"
        if restarts >= RESTARTS and (waits or 0 <= before < restarts):
            code = f", exit code {worker.exit_code}" if worker is not None and waits else ""
            raise Failed(f"the worker crashes in a loop: docker has started it again {restarts} times{code}")
        return restarts

    def _record_guard(self, status: WorkerStatus) -> Procedure[None]:
        """Record whether the worker that answers has the guard. Raises Failed if it is required and absent.

        The worker answers only once the guard has attached or given up, so its first status is final.
        """
        guard = yield from self._guard(status)
        self._note_guard(guard)
        if _is_absent(guard) and self.settings.worker_guard == "required":
            raise Failed(f"worker guard {guard}")

    def _note_guard(self, guard: str) -> None:
        self.record = replace(self.record, guard=guard)
        self.ports.journal.step("worker_guard", "error" if _is_absent(guard) else "info", guard=guard)

    def _guard(self, status: WorkerStatus) -> Procedure[str]:
        if status.guarded:
            return "attached"
        if self.settings.worker_guard == "off":
            return "off"
        worker = (yield from self._until_available(self.ports.compose.services)).get(WORKER)
        if worker is not None and worker.foreign:
            return f"absent: container {worker.name} was started by somebody else"
        return f"absent: {status.guard_absence}"

    def _complete_launch_hook(self) -> Procedure[bool]:
        """Complete the launch hook; whether that is done, also where there is none."""
        if (hook := self.settings.launch_hook) is None:
            return True
        done = yield from self._complete_action(hook, lambda: self.ports.group.complete(hook, "CONTINUE"))
        self.ports.journal.step("launch_hook_completed", hook=hook, result="CONTINUE" if done else "already")
        return done

    # --- waits ---

    def _complete_action(self, hook: str, complete: Callable[[], None]) -> Procedure[bool]:
        """Complete a hook's action; False if there is none: it never began, is over, or the first answer was lost."""
        try:
            yield from self._until_answered(complete)
        except Refused as error:
            if error.code == NO_ACTIVE_ACTION:
                return False
            raise
        return True

    def _until_answered(self, call: Callable[[], T]) -> Procedure[T]:
        """The result of a call of AWS, retried while its errors pass. Raises Failed, Refused, Withdrawn."""
        return (yield from self._until(call, BackOff(self.ports.random, PAUSE), checks=True))

    def _until_available(self, call: Callable[[], T]) -> Procedure[T]:
        """The same for a call on this host; does not look whether the instance terminates."""
        back_off = BackOff(self.ports.random, LOCAL_PAUSE, LONGEST_LOCAL_PAUSE)
        return (yield from self._until(call, back_off, checks=False))

    def _until(self, call: Callable[[], T], back_off: BackOff, *, checks: bool) -> Procedure[T]:
        while True:
            try:
                result = call()
            except PortError as error:
                yield from self._pause_after(error, back_off, checks=checks)
            else:
                self._end_retries()
                return result

    def _passes(self, error: PortError) -> bool:
        return passes(error, self.now - self._first_errors_pass_from)

    def _pause_after(self, error: PortError, back_off: BackOff, *, checks: bool) -> Procedure[None]:
        """Log an error that passes, and wait. Raises any other one, Failed after the deadline, Withdrawn if `checks`.

        Identical errors in a row are logged once, and counted.
        """
        if not self._passes(error):
            raise self._gives_up(error) from None
        if self.now >= self.deadline:
            raise Failed(self._counted(error), error.output) from None
        if not self._is_retried(error):
            self._end_retries()
            self._retried, self._retries, self._retried_since = error, 0, self.now
            self.ports.journal.step(
                "boot_waits",
                "warning",
                phase=self.record.phase,
                call=error.call,
                code=error.code,
                **_said(error.output),
            )
        self._retries += 1
        self._show_in_record(error)
        until = min(self.now + back_off.pause(), max(self.deadline, self.now + POLL_SECONDS))
        while self.now < until:
            yield min(until - self.now, CHECK_SECONDS)
            if checks:
                self._check_termination()

    def _is_retried(self, error: PortError) -> bool:
        return self._retried is not None and alike(self._retried, error)

    def _gives_up(self, error: PortError) -> PortError:
        """The error to raise instead of one that was retried and does not pass; the same one if it was not."""
        if not self._is_retried(error):
            return error
        return Refused(error.call, self._counted(error).removeprefix(f"{error.call}: "), error.output)

    def _counted(self, error: PortError, more: int = 1) -> str:
        """The error, and how often it was seen: so many times more than it was retried."""
        if not self._is_retried(error):
            return str(error)
        return f"{error} ({self._retries + more} times in {round(self.now - self._retried_since)} s)"

    def _end_retries(self) -> None:
        """Log how often the last error was seen, if more than once."""
        if self._retried is not None and self._retries > 1:
            self.ports.journal.step(
                "boot_waited",
                phase=self.record.phase,
                call=self._retried.call,
                code=self._retried.code,
                times=self._retries,
                seconds=round(self.now - self._retried_since, 1),
            )
        self._retried, self._retries = None, 0

    def _show_in_record(self, error: PortError) -> None:
        """Show in the record what a running boot retries; if that fails, the journal has it."""
        self.record = replace(self.record, reason=str(error), output=error.output, tries=self._retries)
        try:
            self.ports.records.write_boot(self.record)
        except PortError as failure:
            self.ports.journal.step("boot_record_failed", "warning", reason=str(failure))

    def _wait_for(self, task: Task[T]) -> Procedure[T]:
        """The task's result.

        Raises its errors, Failed at the deadline, and Withdrawn; for those it cancels the task.
        """
        while not task.done():
            if self.now >= self.deadline:
                raise self._unfinished(task)
            try:
                self._check_termination()
            except Withdrawn:
                task.cancel()
                raise
            yield POLL_SECONDS
        return task.result()

    def _unfinished(self, task: Task[Any]) -> Failed:
        """The failure of a task that is not done at the deadline, which is cancelled here."""
        task.cancel()
        reason, output = f"{self.record.phase}: not done in {self.settings.boot_timeout_seconds} s", ""
        if self._retried is not None:
            reason = f"{reason}, and before that {self._counted(self._retried, 0)}"
            output = self._retried.output
        try:
            task.result()
        except PortError as cancelled:
            output = cancelled.output or output
        return Failed(reason, output)

    def _write_record(self, record: BootRecord) -> Procedure[None]:
        self.record = record
        yield from self._until_available(lambda: self.ports.records.write_boot(record))

    # --- whether to continue ---

    def _withdraw_if_terminating(self) -> Procedure[str | None]:
        """Raise Withdrawn if the instance is to terminate, by its target state or by the flags that `watch` has set.

        Waits until both can be read: nothing is started before. Returns the target state.
        """
        target = yield from self._until_available(self.ports.metadata.target_state)
        flags = yield from self._until_available(self.ports.records.flags)
        if target in FINAL_TARGETS or flags.keys() & DRAIN_FLAGS:
            raise Withdrawn
        return target

    def _check_termination(self) -> None:
        """The same during a wait, once a second. If the state cannot be read, the next check reads it."""
        if self.now < self._next_check:
            return
        self._next_check = self.now + CHECK_SECONDS
        try:
            target, flags = self.ports.metadata.target_state(), self.ports.records.flags()
        except PortError:
            return
        if target in FINAL_TARGETS or flags.keys() & DRAIN_FLAGS:
            raise Withdrawn


def _said(output: str) -> dict[str, str]:
    """The field of a journal's line for a command's output, if there is any."""
    return {"output": output} if output else {}


def _is_absent(guard: str) -> bool:
    return guard not in ("attached", "off")


def _foreign(found: Mapping[str, Sequence[Service]]) -> list[Service]:
    return [each for name in SERVICES for each in found.get(name, ()) if each.foreign]


def _to_replace(found: Mapping[str, Sequence[Service]], live: list[Service]) -> list[Service]:
    """What has to go before compose starts anything: what others started, except the worker that answers.

    And compose's worker beside that one. Without the port it ends at once, and docker starts it again: each time it
    takes a job and loses it.
    """
    spared, taken = {each.container for each in live}, any(each.listens for each in live)
    others = [(name, each) for name in SERVICES for each in found.get(name, ()) if each.container not in spared]
    return [each for name, each in others if each.foreign or (taken and name == WORKER)]


def _names(containers: list[Service]) -> str:
    return ",".join(each.name for each in containers)
