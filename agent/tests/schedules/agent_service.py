"""A systemd service that runs one of the agent's procedures, and the conditions under which it makes its calls."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ghosthands_agent.ports import NO_ACTIVE_ACTION, NOT_LISTENING, Ports, Refused, Scalar, Unavailable
from ghosthands_agent.settings import Settings
from model.ports import CallName, PollForEnd, SimulatedTask, TaskName, simulated_ports

from localcloud import fleet

if TYPE_CHECKING:
    from schedules.agent_host import AgentHost

T = TypeVar("T")
Procedure = Callable[[Ports, Settings], Generator[float, None, Any]]

#: For so long at most, polls are left out that would see what the last one saw: the longer one in service, where the
#: agent waits for nothing; elsewhere it sends heartbeats, or tries something again.
CALM_SECONDS, CALM_WAIT_SECONDS = 60.0, 5.0
AFTER_FAULT_SECONDS = 5.0  # for so long after a fault none is left out
WATCH_RESTART_SECONDS = 2.0  # Restart=always, RestartSec=2
BOOT_RESTART_SECONDS = 5.0  # Restart=on-failure, RestartSec=5
METADATA_CALLS = frozenset({"instance", "target_state", "spot_action", "wish"})
API_CALLS: Mapping[str, str] = {
    "heartbeat": "autoscaling:RecordLifecycleActionHeartbeat",
    "complete": "autoscaling:CompleteLifecycleAction",
    "protect": "autoscaling:SetInstanceProtection",
    "report_unhealthy": "autoscaling:SetInstanceHealth",
    "group_state": "autoscaling:DescribeAutoScalingGroups",
    "launches": "autoscaling:DescribeScalingActivities",
}
WRITING_CALLS = frozenset({"drain", "write", "remove", "write_boot", "write_control", "set_flag", "clear_flag"})


class Killed(BaseException):
    """kill -9: raised inside a call, it passes every handler of a procedure."""


class AgentService:
    """A systemd service that runs one procedure.

    Attributes:
        calls: how many calls it has made since it was first started.
        kill_at: the call at which it is killed, -1 for none.
        kill_after: whether that call still takes effect.
        next_kills: after how many calls it is killed in its next lives, the last one first.
        lag: how far its own clock is ahead of the fleet's in this step, in seconds.
        then: called once when the procedure has ended.
        life: counts starts and ends.
    """

    def __init__(
        self, host: AgentHost, name: str, procedure: Procedure, restart: Literal["always", "on-failure", "no"]
    ) -> None:
        self.host = host
        self.name = name
        self.restart = restart
        self.calls = 0
        self.kill_at = -1
        self.kill_after = False
        self.next_kills: list[int] = []
        self.lag = 0.0
        self.then: Callable[[], object] | None = None
        self.life = 0
        self._tasks: list[SimulatedTask[Any]] = []
        self._procedure = procedure
        self._running: Generator[float, None, Any] | None = None
        self._seen: object = None
        self._due = self._pause = 0.0
        self._ports = simulated_ports(host, self, host.fleet, secret=lambda: host.fleet.secret)

    # --- systemd ------------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether a process runs."""
        return self._running is not None

    def start(self) -> None:
        """systemctl start: nothing if it is active."""
        if self._running is None and self.host.up:
            self.life += 1
            self._due = 0.0  # no wake-up of an earlier life starts this one a second time
            self._running = self._procedure(self._ports, self.host.settings)
            self.host.note_ability()
            self.host.timeline.after(0.2, self._step, self.life)

    def kill(self) -> None:
        """The process is gone, between two instructions or inside a call."""
        self.kill_at = -1
        self.life += 1
        self._running = None
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self.host.note_ability()

    def crash(self) -> None:
        """kill -9, and what systemd does then."""
        if self.active:
            fleet = self.host.fleet
            fleet.log(self.host, f"agent's {self.name} is killed at call {self.calls}")
            draining = self.host.waiting_since is not None
            fleet.counts.faults["agent was killed in a drain" if draining else "agent was killed"] += 1
            self.kill()
            self.plan_kill()
            self._restart(failed=True)

    def plan_kill(self) -> None:
        """Plan the next of `next_kills`: after so many calls from now, before or after that call's effect."""
        if self.next_kills:
            pause = self.next_kills.pop()
            self.kill_at, self.kill_after = self.calls + 1 + pause, bool(pause % 2)

    def _step(self, life: int) -> None:
        if life != self.life or self._running is None:
            return
        self.lag, self._due = 0.0, 0.0
        try:
            pause = next(self._running)
        except StopIteration as end:
            self._exited(end.value)
        except Killed:
            if life == self.life:
                self.crash()
        except Exception as error:  # an exception that a procedure lets through ends the process
            self.host.fleet.rule_broken(self.host, f"the {self.name} procedure raised {error!r}")
            self._exited(1)
        else:
            if life == self.life:
                self._sleep(max(pause, 0.001))

    def _sleep(self, pause: float) -> None:
        """Until the next step; for longer if nothing changes on an instance that is in service, or drains a job."""
        timeline, host = self.host.timeline, self.host
        due = timeline.now + self.lag + pause
        seen = host.seen_by_agent()
        if seen == self._seen and self.lag == 0.0 and (calm := host.calm_seconds(self)):
            until = timeline.now + calm
            if self.name == "boot":  # of its tasks nobody wakes it
                until = min(timeline.next_action_at(), until)
            due += max(0, int((until - due) / pause)) * pause
        self._seen, self._due, self._pause = seen, due, pause
        timeline.poll_at(due, self._wake, self.life, due)

    def wake(self) -> None:
        """Something has changed: look at the next time at which the agent would have looked."""
        timeline = self.host.timeline
        if self._running and self._due > timeline.now + self._pause:
            self._due -= int((self._due - timeline.now) / self._pause) * self._pause
            timeline.poll_at(self._due, self._wake, self.life, self._due)

    def _wake(self, life: int, due: float) -> None:
        if due == self._due:
            self._step(life)

    def _exited(self, code: object) -> None:
        self.host.fleet.log(self.host, f"agent's {self.name} exits with", code)
        self._running = None
        self.life += 1
        self._tasks.clear()
        self.host.note_ability()
        self._restart(failed=bool(code))
        if self.then:
            then, self.then = self.then, None
            then()

    def _restart(self, *, failed: bool) -> None:
        if self.restart == "always" or (self.restart == "on-failure" and failed):
            pause = WATCH_RESTART_SECONDS if self.restart == "always" else BOOT_RESTART_SECONDS
            self.host.timeline.after(pause, self._start_again, self.life, self.host.boots)

    def _start_again(self, life: int, boots: int) -> None:
        if life == self.life and boots == self.host.boots and not self.host.shutting_down:
            self.start()

    # --- model.ports.Caller -------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        host = self.host
        return host.timeline.now + self.lag - host.boot_began

    def wall(self) -> float:
        return self.host.wall + self.lag

    def call(self, name: CallName, effect: Callable[[], T]) -> T:
        self._count_call()
        if name in API_CALLS:
            return self._api_call(API_CALLS[name], effect)
        if name == "terminate":
            return self._docker_kill(effect)
        if name in METADATA_CALLS:
            self._check_metadata(name)
        elif name in ("status", "drain"):
            self._check_worker(name)
        value = effect()
        if name in WRITING_CALLS:
            self._count_effect()
        elif name == "status":
            self._status_answered()
        return value

    def begin(self, name: TaskName, effect: Callable[[], T], is_over: PollForEnd | None = None) -> SimulatedTask[T]:
        def checked() -> T:
            self._check_task(name)
            return effect()

        self._count_call()
        task = SimulatedTask(self.host.timeline, self.lag + self._duration(name), checked, is_over)
        self._tasks.append(task)
        return task

    def log_step(self, event: str, fields: Mapping[str, Scalar]) -> None:
        self.host.said_lost |= event == "job_lost" and self.name == "stop"
        if self.host.fleet.logs_steps:
            self.host.fleet.log(
                self.host, f"{self.name}: {event}", *(f"{key}={value}" for key, value in fields.items())
            )

    # --- conditions ---------------------------------------------------------------------------------------------------

    def _spend(self, seconds: float) -> None:
        """Let a call take its time. The fleet goes on meanwhile, unless it is itself inside somebody's call."""
        fleet, life = self.host.fleet, self.life
        if fleet.inside_call:
            self.lag += seconds
            return
        fleet.inside_call = True
        fleet.timeline.run_until(fleet.timeline.now + seconds)
        fleet.inside_call = False
        if life != self.life:
            raise Killed

    def _count_call(self) -> None:
        """A call begins. A kill planned for after the effect of a call that has none comes with the next call."""
        self.calls += 1
        if -1 < self.kill_at < self.calls + (not self.kill_after):
            raise Killed

    def _count_effect(self) -> None:
        """A call that changes something has taken effect."""
        if self.calls == self.kill_at:
            raise Killed

    def _check_metadata(self, name: str) -> None:
        if self.host.now < self.host.metadata_down_until:
            self._spend(self.host.fleet.random.choice((0.02, 0.02, 2.0)))
            raise Unavailable(f"imds:{name}", "http 503")

    def _check_worker(self, name: str) -> None:
        worker, hangs = self.host.worker, self.host.now < self.host.worker_hangs_until
        if name == "status" and worker and hangs:
            self._spend(2.0)
            raise Unavailable("worker:status", "Timeout")
        if name == "drain":
            if worker is None or hangs:
                raise Unavailable("worker:drain", NOT_LISTENING if worker is None else "Timeout")
            self.host.fleet.agent_drains_worker(self.host)
            self._spend(0.01)

    def _status_answered(self) -> None:
        worker = self.host.worker
        idle = worker is not None and not worker.active_jobs
        if self.host.target == "Terminated" and idle and self.host.fleet.job_after_idle_reading(self.host):
            self._spend(0.02)  # the answer is on its way, and not true any more

    def _api_call(self, call: str, effect: Callable[[], T]) -> T:
        slow, fault, lost = self.host.fleet.api_conditions()
        self._spend(slow / 2)
        if fault:
            raise Unavailable(call, fault)
        try:
            value = effect()
        except fleet.Refused as refusal:
            code = NO_ACTIVE_ACTION if refusal.message.startswith("No active Lifecycle Action") else refusal.code
            self._spend(slow / 2)
            raise Refused(call, code) from None
        self._count_effect()
        self._spend(slow / 2)
        if lost:
            raise Unavailable(call, "Timeout")
        return value

    def _docker_kill(self, effect: Callable[[], T]) -> T:
        seconds = self.host.fleet.delay(0.03, 0.3)
        self._spend(seconds / 2)
        value = effect()
        self._count_effect()
        self._spend(seconds / 2)
        return value

    def _duration(self, task: TaskName) -> float:
        delay = self.host.fleet.delay
        match task:
            case "secret" | "login":
                return delay(0.1, 0.6)
            case "pull":
                return delay(10, 60)
            case "up":
                return 1.0 if self.host.container.state == "running" else delay(2, 12)
            case "stop":
                return delay(0.1, 0.8) + 0.5
            case "stop worker":
                return delay(0.1, 0.8)
            case "flush":
                return delay(0.05, 0.3)
            case "answer":
                return delay(0.05, 0.5)

    def _check_task(self, task: TaskName) -> None:
        fleet = self.host.fleet
        if task == "secret" and fleet.timeline.now < fleet.conditions.secret_denied:
            raise Refused("secretsmanager:GetSecretValue", "AccessDenied")
        if task == "secret" and fleet.timeline.now < fleet.conditions.secret_missing:
            raise Refused("secretsmanager:GetSecretValue", "ResourceNotFoundException")
        if task == "pull" and fleet.timeline.now < fleet.conditions.image_missing:
            raise Refused("docker pull", "NoSuchImage")
        if task == "up" and fleet.timeline.now < fleet.conditions.container_refused:
            raise Refused("docker compose up", "CannotStart")
        if task in ("secret", "login", "answer") and fleet.api_conditions()[1]:
            raise Unavailable(f"aws:{task}", "Timeout")
