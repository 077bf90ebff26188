"""An instance of the kit: the agent's own procedures, run by a systemd of few rules over neighbours in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ghosthands_agent import boot, drain, stop, watch
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import BootRecord, Flag, Ports
from ghosthands_agent.settings import Settings

from schedules import neighbours
from schedules.machine import Machine

if TYPE_CHECKING:
    from schedules.cloud import Cloud
    from schedules.schedule import Happening

Telling = Callable[[Ports, Settings], Generator[float, None, Any]]

WATCH_RESTART_SECONDS = 2.0  # Restart=always, RestartSec=2
BOOT_RESTART_SECONDS = 5.0  # Restart=on-failure, RestartSec=5
UNEXCUSED = "stopped by the agent with a job inside"
STOP_LIMIT_SECONDS = 180.0  # after that systemd kills what is still stopping


def _boot(ports: Ports, settings: Settings) -> Generator[float, None, int]:
    return boot.boot(ports, settings, Paths())


@dataclass(frozen=True)
class Procedures:
    """What the agent does, by verb. The tests put broken ones in their place."""

    boot: Telling = _boot
    watch: Telling = watch.watch
    ask: Telling = drain.request_drain
    stop: Telling = stop.stop


class Killed(BaseException):
    """kill -9: raised inside a neighbour's call, it passes every handler of a procedure."""


class Unit:
    """A systemd service that runs one procedure.

    Attributes:
        calls: how many calls to neighbours it has made since it was first started.
        kill_at: the call at which it is killed, -1 for none; kill_after: whether that call still takes effect.
        lag: how far its own clock is ahead of the world's in this step, in seconds.
    """

    def __init__(
        self, machine: AgentMachine, name: str, procedure: Telling, restart: Literal["always", "on-failure", "no"]
    ) -> None:
        self.machine = machine
        self.name = name
        self.restart = restart
        self.calls = 0
        self.kill_at = -1
        self.kill_after = False
        self.kills_to_come: list[int] = []
        self.lag = 0.0
        self.tasks: list[neighbours.SimTask[Any]] = []
        self.then: Callable[[], object] | None = None
        self._tell = procedure
        self._story: Generator[float, None, Any] | None = None
        self.life = 0
        self._ports = neighbours.ports(machine, self)

    @property
    def active(self) -> bool:
        """Whether a process runs."""
        return self._story is not None

    def start(self) -> None:
        """systemctl start: nothing if it is active."""
        if self._story is None and self.machine.up:
            self.life += 1
            self._story = self._tell(self._ports, self.machine.settings)
            self.machine.note_ability()
            self.machine.world.timeline.after(0.2, self._step, self.life)

    def kill(self) -> None:
        """The process is gone, between two instructions or inside a call."""
        self.kill_at = -1
        self.life += 1
        self._story = None
        for task in self.tasks:
            task.cancel()
        self.tasks.clear()
        self.machine.note_ability()

    def crash(self) -> None:
        """kill -9, and what systemd makes of it."""
        if self.active:
            world = self.machine.world
            world.tell(self.machine, f"agent's {self.name} is killed at call {self.calls}")
            world.books.befell[
                "agent was killed" if self.machine.waiting_since is None else "agent was killed in a drain"
            ] += 1
            self.kill()
            self.plan_kill()
            self._come_back(failed=True)

    def plan_kill(self) -> None:
        """Take the next of ``kills_to_come``: after so many calls from now, before or after that call's effect."""
        if self.kills_to_come:
            pause = self.kills_to_come.pop()
            self.kill_at, self.kill_after = self.calls + 1 + pause, bool(pause % 2)

    def spend(self, seconds: float) -> None:
        """Let a call take its time. The world goes on meanwhile, unless it is itself inside somebody's call."""
        world, life = self.machine.world, self.life
        if world.inside_call:
            self.lag += seconds
            return
        world.inside_call = True
        world.timeline.run_until(world.timeline.now + seconds)
        world.inside_call = False
        if life != self.life:
            raise Killed

    def count(self) -> None:
        """A call begins. A kill that was to follow on the effect of a call that has none comes with the next one."""
        self.calls += 1
        if -1 < self.kill_at < self.calls + (not self.kill_after):
            raise Killed

    def count_effect(self) -> None:
        """A call that counts has taken effect."""
        if self.calls == self.kill_at:
            raise Killed

    def _step(self, life: int) -> None:
        if life != self.life or self._story is None:
            return
        self.lag = 0.0
        try:
            pause = next(self._story)
        except StopIteration as end:
            self._ended(end.value)
        except Killed:
            if life == self.life:
                self.crash()
        except (
            Exception
        ) as error:  # whatever a procedure lets through ends the process, and is a mistake of the procedure
            self.machine.world.violated(self.machine, f"the {self.name} procedure raised {error!r}")
            self._ended(1)
        else:
            if life == self.life:
                timeline = self.machine.world.timeline
                timeline.at(timeline.now + self.lag + max(pause, 0.001), self._step, life)

    def _ended(self, code: object) -> None:
        self.machine.world.tell(self.machine, f"agent's {self.name} ends with", code)
        self._story = None
        self.life += 1
        self.tasks.clear()
        self.machine.note_ability()
        self._come_back(failed=bool(code))
        if self.then:
            then, self.then = self.then, None
            then()

    def _come_back(self, *, failed: bool) -> None:
        if self.restart == "always" or (self.restart == "on-failure" and failed):
            pause = WATCH_RESTART_SECONDS if self.restart == "always" else BOOT_RESTART_SECONDS
            self.machine.world.timeline.after(pause, self._start_again, self.life, self.machine.system)

    def _start_again(self, life: int, system: int) -> None:
        if life == self.life and system == self.machine.system and not self.machine.shutting_down:
            self.start()


class AgentMachine(Machine):
    """An instance with the agent.

    Attributes:
        files, boot_record, marks: what the agent has written; the last two do not outlive a boot of the system.
        able_seconds: for how long it has been able to see its target state and to speak to the API.
    """

    restart_policy: Literal["on-failure", "unless-stopped"] = "on-failure"

    def __init__(self, world: Cloud, id: str, zone: str, *, procedures: Procedures, settings: Settings) -> None:
        self.settings = settings
        self.files: dict[str, str] = {}
        self.boot_record: BootRecord | None = None
        self.marks: dict[Flag, float] = {}
        self.system = 0
        self.system_began = world.timeline.now
        self.able_seconds = 0.0
        self._able_at = world.timeline.now
        self._able = False
        self._able_at_beat = self._able_at_job = 0.0
        self._known_by: tuple[int, int] | None = None
        self.units: dict[str, Unit] = {}
        super().__init__(world, id, zone)
        self.units = {
            "boot": Unit(self, "boot", procedures.boot, "on-failure"),
            "watch": Unit(self, "watch", procedures.watch, "always"),
            "ask": Unit(self, "ask", procedures.ask, "no"),
            "stop": Unit(self, "stop", procedures.stop, "no"),
        }

    def system_is_up(self) -> None:
        self.system += 1
        self.system_began = self.world.timeline.now - 10
        self.boot_record, self.marks = None, {}
        self.units["boot"].start()
        self.units["watch"].start()

    def docker_is_back(self) -> None:
        # The unit Requires=docker.service: a restart of the daemon restarts it.
        self.units["boot"].kill()
        self.units["boot"].start()

    def stop_units(self, then: Callable[[], object]) -> None:
        for name in ("boot", "watch", "ask"):
            self.units[name].kill()
        unit, done = self.units["stop"], [False]

        def once() -> None:
            if not done[0]:
                done[0] = True
                unit.then = None
                unit.kill()
                then()

        unit.then = once
        unit.start()
        self.world.timeline.after(STOP_LIMIT_SECONDS, once)

    def system_is_down(self) -> None:
        super().system_is_down()
        for unit in self.units.values():
            unit.kill()

    # --- what the rules want to know ------------------------------------------------------------------------------------

    def note_ability(self) -> None:
        """Something changed on which the agent's ability hangs: add up until now."""
        now = self.world.timeline.now
        if self._able:
            self.able_seconds += now - self._able_at
        self._able_at = now
        sees = now >= self.metadata_down_until or "terminated" in self.marks
        watch = self.units.get("watch")
        self._able = bool(
            self.up and not self.shutting_down and watch and watch.active and sees and now >= self.world.api_down_until
        )

    def able_for(self) -> float:
        """``able_seconds`` as of now."""
        self.note_ability()
        return self.able_seconds

    def beat(self) -> None:
        self._able_at_beat = self.able_for()

    def took_job(self) -> None:
        self._able_at_job = self.able_for()

    def able_since_beat(self) -> float:
        return self.able_for() - self._able_at_beat

    def able_since_busy(self) -> float:
        hung = self.world.timeline.now - self.worker_hangs_until < 15
        return 0.0 if hung else self.able_for() - self._able_at_job

    def completion_is_known(self) -> None:
        self._known_by = (self.system, self.units["watch"].life)

    def knows_completion(self) -> bool:
        return self._known_by == (self.system, self.units["watch"].life)

    def stop_reason(self) -> str:
        """Why a worker that compose stops would leave its job."""
        if self.shutting_down:
            return self.shutting_down
        if self.spot_noticed:
            return "spot"
        now = self.world.timeline.now + self.units["watch"].lag
        begins = [
            self.system_began + moment for mark, moment in self.marks.items() if mark in ("requested", "terminated")
        ]
        begins += [self.waiting_since] if self.waiting_since is not None else []
        if begins and now - min(begins) >= self.settings.drain_limit_seconds:
            return "hard limit"
        return UNEXCUSED

    def stops_without_reason(self) -> bool:
        return self.stop_reason() == UNEXCUSED

    def abandons_without_reason(self) -> bool:
        return self.stop_reason() == UNEXCUSED and self.docker_up

    def drained_on_purpose(self) -> bool:
        return "requested" in self.marks

    # --- troubles ---------------------------------------------------------------------------------------------------------

    def agent_trouble(self, happening: Happening) -> None:
        number = happening.number
        unit = self.units["watch"]
        if self.units["boot"].active and number % 2:
            unit = self.units["boot"]
        match happening.kind:
            case "agent killed":
                unit.crash()
            case "agent killed at a call":
                unit.kills_to_come = [number // 2 % 40]
                unit.plan_kill()
            case "operator drains" if self.up and not self.shutting_down:
                self.units["ask"].then = lambda: self.world.timeline.after(30, self.world.operator_is_done_with, self)
                self.units["ask"].start()

    def agent_killed_at_calls(self, pauses: list[int]) -> None:
        self.units["watch"].kills_to_come = pauses
        self.units["watch"].plan_kill()
