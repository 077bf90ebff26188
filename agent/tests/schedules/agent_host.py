"""An instance with the agent: its real procedures as systemd services, and what the rules need to know about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ghosthands_agent import boot, drain, stop, watch
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import Ports
from ghosthands_agent.settings import Settings
from ghosthands_agent.termination import worker_stop_timeout
from ghosthands_agent.wishes import ANSWER_TAG, WISH_TAG, parse
from model.host import Container, RestartPolicy
from model.worker import RAW, Worker

from schedules.agent_service import AFTER_FAULT_SECONDS, CALM_SECONDS, CALM_WAIT_SECONDS, AgentService, Procedure
from schedules.fleet_host import FleetHost
from schedules.simulated_fleet import RACE_SECONDS

if TYPE_CHECKING:
    from schedules.schedule import Event
    from schedules.simulated_fleet import SimulatedFleet

HOLD_SECONDS = 5.0
NO_REASON = "stopped by the agent with a job inside"
STOP_LIMIT_SECONDS = 180.0  # after that systemd kills what is still stopping


def _boot(ports: Ports, settings: Settings) -> Generator[float, None, int]:
    return boot.boot(ports, settings, Paths())


@dataclass(frozen=True)
class Procedures:
    """What the agent does, by verb. Tests put broken ones in their place."""

    boot: Procedure = _boot
    watch: Procedure = watch.watch
    drain: Procedure = drain.request_drain
    stop: Procedure = stop.stop


class AgentHost(FleetHost):
    """An instance with the agent.

    Attributes:
        boots: how often its system came up.
        boot_began: when its kernel started.
        able_seconds: for how long the agent has been able to see the target state and to call the API.
    """

    restart_policy: RestartPolicy = "on-failure"

    def __init__(
        self, fleet: SimulatedFleet, id: str, zone: str, *, procedures: Procedures, settings: Settings
    ) -> None:
        now = fleet.timeline.now
        self.settings = settings
        self.boots = 0
        self.boot_began = now
        self.able_seconds = 0.0
        self.stop_grace_seconds = worker_stop_timeout(settings)
        self._able_since = now
        self._able = False
        self._able_at_heartbeat = self._able_at_job = 0.0
        self._completion_known_by: tuple[int, int] | None = None
        self.services: dict[str, AgentService] = {}
        self._able_at_wish = 0.0
        super().__init__(fleet, id, zone)
        self.bad_images = fleet.bad_images
        if fleet.wish:
            self.tags[WISH_TAG] = fleet.wish
        self.images = {settings.image} if fleet.image_is_baked else set()
        self.services = {
            "boot": AgentService(self, "boot", procedures.boot, "on-failure"),
            "watch": AgentService(self, "watch", procedures.watch, "always"),
            "drain": AgentService(self, "drain", procedures.drain, "no"),
            "stop": AgentService(self, "stop", procedures.stop, "no"),
        }

    def start_units(self) -> None:
        self.boots += 1
        self.boot_began = self.now - 10
        self.services["boot"].start()
        self.services["watch"].start()

    def docker_restarted(self) -> None:
        # The boot unit has Requires=docker.service: a restart of the daemon restarts it.
        self.wake_agent()
        self.services["boot"].kill()
        self.services["boot"].start()

    def stop_units(self, then: Callable[[], object]) -> None:
        for name in ("boot", "watch", "drain"):
            self.services[name].kill()
        service, done = self.services["stop"], [False]

        def once() -> None:
            if not done[0]:
                done[0] = True
                service.then = None
                service.kill()
                then()

        service.then = once
        service.start()
        self.timeline.after(STOP_LIMIT_SECONDS, once)

    def system_is_down(self) -> None:
        super().system_is_down()
        for service in self.services.values():
            service.kill()

    def keep_image(self, reference: str) -> None:
        """Forgets what was pulled: the next boot pulls again, which makes boots longer."""

    # --- what the rules need to know ----------------------------------------------------------------------------------

    def note_ability(self) -> None:
        now = self.now
        if self._able:
            self.able_seconds += now - self._able_since
        self._able_since = now
        sees = now >= self.metadata_down_until or "terminated" in self.flags
        watch = self.services.get("watch")
        self._able = bool(
            self.up and not self.shutting_down and watch and watch.active and sees and now >= self.fleet.api_down_until
        )

    def flags_changed(self) -> None:
        self.note_ability()
        self.wake_agent()

    def control_changed(self) -> None:
        self.wake_agent()

    def answered(self, text: str) -> None:
        super().answered(text)
        self.fleet.log(self, "answers", text)
        self.wake_agent()

    def wishes(self, text: str) -> None:
        self.tags[WISH_TAG] = text
        self._able_at_wish = self.able_for()
        self.wake_agent()

    def worker_acted(self, container: Container) -> None:
        super().worker_acted(container)
        self.wake_agent()

    def wake_agent(self) -> None:
        for service in self.services.values():
            service.wake()

    def seen_by_agent(self) -> object:
        """What decides what the agent's `watch` does next."""
        worker = self.worker
        status = worker and worker.status_key()
        return self.target, self.spot_action, self.docker_up, bool(self.flags), status, self.tags, self.control

    def calm_seconds(self, service: AgentService) -> float:
        """For how long the agent would see the same, if nothing happens."""
        conditions = self.fleet.conditions
        faults = max(self.metadata_down_until, self.worker_hangs_until, self.disk_full_until)
        api = max(conditions.api_down, conditions.throttled, conditions.answers_lost)
        is_killed = service.kill_at >= 0 or service.next_kills
        if (
            is_killed
            or self._wish_is_under_way()
            or service.name not in ("boot", "watch")
            or self.spot_action
            or self.now <= max(faults, api) + AFTER_FAULT_SECONDS
        ):
            return 0.0
        if self.boot_record is None or self.boot_record.state != "completed" or self.replacement is not None:
            return 0.0 if service.name == "watch" else CALM_WAIT_SECONDS if self.target == "InService" else 0.0
        if service.name == "boot" or not self.flags:
            if self.target != "InService":
                return 0.0
            return CALM_SECONDS if service.name == "watch" and self._is_protected_as_desired() else CALM_WAIT_SECONDS
        return CALM_WAIT_SECONDS if self.busy_since and "stopping" not in self.flags else 0.0

    def wish_under_way(self) -> str:
        wish, answer = parse(self.tags.get(WISH_TAG, "")), self.tags.get(ANSWER_TAG, "")
        name, _blank, state = answer.partition(" ")
        row = self.fleet.jobs.rows[self.worker.job.id] if self.worker is not None and self.worker.job else None
        if row is not None and row.status == "awaiting_review":
            return ""  # for a person, as long as that takes
        if self.services["drain"].active:
            return f"{self.id} drains on request"
        if wish is not None and (name != wish.name or state == "begun"):
            return f"{self.id} has not done {wish.name}: {answer}"
        if self.worker is not None and self.worker.is_draining and not self.drained_on_request():
            return f"the worker of {self.id} drains"
        return ""

    def _wish_is_under_way(self) -> bool:
        wish, control = parse(self.tags.get(WISH_TAG, "")), self.control
        return bool(
            (wish is not None and wish.id not in control.handled)
            or control.wish
            or (control.restart and not control.held)
            or control.answer != self.tags.get(ANSWER_TAG, "")
        )

    def _is_protected_as_desired(self) -> bool:
        instance, worker = self.fleet.group.instances.get(self.id), self.worker
        return instance is not None and instance.protected == (worker is not None and worker.active_jobs > 0)

    def able_for(self) -> float:
        """`able_seconds` as of now."""
        self.note_ability()
        return self.able_seconds

    def heartbeat_accepted(self) -> None:
        self._able_at_heartbeat = self.able_for()

    def worker_took_job(self) -> None:
        self._able_at_job = self.able_for()

    def job_taken(self, worker: Worker) -> None:
        """A worker with a guard takes no job from so many seconds on after it was to be held."""
        wish = parse(self.tags.get(WISH_TAG, ""))
        hung = self.now - self.worker_hangs_until < RACE_SECONDS
        if wish is None or wish.verb != "hold" or worker.options.works is None or RAW in worker.process or hung:
            return
        able = self.able_for() - self._able_at_wish
        if able > HOLD_SECONDS and self.now - worker.started_at > HOLD_SECONDS:
            self.fleet.rule_broken(self, f"a worker takes a job though it was to be held for {able:.1f} s")

    def able_since_heartbeat(self) -> float:
        return self.able_for() - self._able_at_heartbeat

    def able_since_busy(self) -> float:
        hung = self.now - self.worker_hangs_until < 15
        return 0.0 if hung else self.able_for() - self._able_at_job

    def completion_answered(self) -> None:
        self._completion_known_by = (self.boots, self.services["watch"].life)

    def knows_completion(self) -> bool:
        return self._completion_known_by == (self.boots, self.services["watch"].life)

    def stop_reason(self) -> str:
        if self.shutting_down:
            return self.shutting_down
        if self.notice_at is not None:
            return "spot"
        now = self.now + self.services["watch"].lag
        if now - self.drain_began() >= self.settings.drain_limit_seconds:
            return "hard limit"
        return NO_REASON

    def drain_began(self) -> float:
        begins = [
            self.boot_began + moment for flag, moment in self.flags.items() if flag in ("requested", "terminated")
        ]
        begins += [each for each in (self.waiting_since, self.notice_at) if each is not None]
        return min(begins, default=math.inf)

    def before_agent_stops_worker(self, container: Container) -> None:
        self.fleet.agent_stops_worker(self, container)

    def stops_without_reason(self) -> bool:
        return self.stop_reason() == NO_REASON

    def abandons_without_reason(self) -> bool:
        return self.stop_reason() == NO_REASON and self.docker_up

    def drained_on_request(self) -> bool:
        return "requested" in self.flags

    # --- faults -------------------------------------------------------------------------------------------------------

    def agent_fault(self, event: Event) -> None:
        number = event.number
        service = self.services["watch"]
        if self.services["boot"].active and number % 2:
            service = self.services["boot"]
        match event.kind:
            case "agent killed":
                service.crash()
            case "agent killed at a call":
                service.next_kills = [number // 2 % 40]
                service.plan_kill()
            case "operator drains" if self.up and not self.shutting_down:
                self.services["drain"].then = lambda: self.timeline.after(30, self.fleet.operator_terminates, self)
                self.services["drain"].start()

    def kill_agent_at_calls(self, pauses: list[int]) -> None:
        self.services["watch"].next_kills = pauses
        self.services["watch"].plan_kill()
