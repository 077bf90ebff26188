"""One EC2 instance of a virtual fleet: its system, Docker with the worker inside, and what goes wrong on it.

``Machine`` is what both ways of running share; ``agent.AgentMachine`` runs the kit's agent on it, ``runbook.RunbookMachine`` the
runbook's unit and script. Docker behaves as its restart policies say: a container that was stopped by hand stays down,
``on-failure`` brings back what ended with another code than 0, ``unless-stopped`` all others too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from schedules.worker import Worker

if TYPE_CHECKING:
    from schedules.cloud import Cloud
    from schedules.schedule import Happening

DOCKER_STOP_SECONDS = 10.0  # what dockerd and compose give a container without a stop_grace_period


class Container:
    """The worker's container; api and deploy-server come and go with no state worth a model."""

    def __init__(self) -> None:
        self.state: Literal["running", "restarting", "exited"] = "exited"
        self.exit_code = 0
        self.stopped_by_hand = True
        self.life = 0  # counts starts and ends, so that what was meant for one life spares the next


class Machine:
    """One instance.

    Attributes:
        alive: whether EC2 runs it.
        up: whether its system runs (not booting, rebooting or shutting down).
        target: ``autoscaling/target-lifecycle-state``.
        busy_since: when its worker took its present job; None when idle.
        waiting_since: when the termination hook began to hold it.
        last_job_ended: when it was last busy.
    """

    restart_policy: Literal["on-failure", "unless-stopped"] = "unless-stopped"
    worker_hook = ""  # the hook that the worker is told to complete

    def __init__(self, world: Cloud, id: str, zone: str) -> None:
        self.world = world
        self.id = id
        self.zone = zone
        self.alive = True
        self.up = False
        self.shutting_down = ""
        self.target: str | None = None
        self.docker_up = False
        self.containers_exist = False
        self.container = Container()
        self.worker: Worker | None = None
        self.ending: str = ""  # why its group ends it
        self.spot_noticed = False
        self.metadata_down_until = -math.inf
        self.worker_hangs_until = -math.inf
        self.disk_full_until = -math.inf
        self.busy_since: float | None = None
        self.last_job_ended = world.timeline.now
        self.waiting_since: float | None = None
        self.completed = False
        self._worker_due = math.inf
        self._boots = 0
        self.boot_system()

    # --- the system -----------------------------------------------------------------------------------------------------

    def boot_system(self) -> None:
        """The kernel starts; units follow."""
        self._boots += 1
        self.world.timeline.after(self.world.dice.uniform(12, 30), self._system_is_up, self._boots)

    def _system_is_up(self, boot: int) -> None:
        if not self.alive or boot != self._boots:
            return
        self.up, self.shutting_down = True, ""
        self._docker_starts()
        self.system_is_up()

    def system_is_up(self) -> None:
        """What the units do at boot."""
        raise NotImplementedError

    def shut_down(self, reason: str, then: Callable[[], object]) -> None:
        """systemd stops everything, then ``then`` happens; ``reason`` is kept for the jobs that it costs."""
        if self.shutting_down or not self.alive:
            return
        self.shutting_down = reason
        self.stop_units(lambda: self._stop_docker(reason, then))

    def stop_units(self, then: Callable[[], object]) -> None:
        """What the units do when the system is told to go; ``then`` must be called once."""
        then()

    def reboot(self) -> None:
        """An orderly reboot; what stands under /run is gone after it."""
        if self.up:
            self.shut_down("rebooted", self._restart_system)

    def _restart_system(self) -> None:
        if self.alive:
            self.up = False
            self.system_is_down()
            self.boot_system()

    def end(self) -> None:
        """EC2 ends it in good order: the system is told, then it is gone."""
        if self.alive and self.up and not self.shutting_down:
            self.shut_down(self.ending, self.vanish)
        elif self.alive:
            self.world.timeline.after(5, self.vanish)

    def vanish(self, reason: str = "") -> None:
        """It is gone, whatever ran on it."""
        if not self.alive:
            return
        self.alive = self.up = False
        if self.worker:
            self.worker.kill(self.world.timeline.now, reason or self.ending or "ended")
            self.worker = self.busy_since = None
        self.system_is_down()
        self.world.gone(self)

    def system_is_down(self) -> None:
        """Nothing runs any more."""
        self.docker_up = False

    # --- Docker ---------------------------------------------------------------------------------------------------------

    def compose_up(self) -> None:
        """What ``docker compose up`` has the daemon do: a container that runs is left alone."""
        self.containers_exist = True
        if self.container.state != "running":
            self._start_container()

    def _start_container(self) -> None:
        container = self.container
        container.state, container.stopped_by_hand = "running", False
        container.life += 1
        self.world.timeline.after(self.world.dice.uniform(1, 5), self._worker_starts, container.life)

    def _worker_starts(self, life: int) -> None:
        if self.alive and self.container.life == life and self.container.state == "running":
            self._worker_due = math.inf
            self.worker = Worker(f"{self.id}/{life}", self.world.habits, self.world.ledger, self.world.timeline.now)
            self.worker_acted()

    def signal_worker(self, reason: str) -> None:
        """SIGTERM to the container's process."""
        if self.container.state != "running":
            return
        if self.worker is None:
            self._container_ends(143)
            return
        self.worker.signal(self.world.timeline.now, reason)
        self.worker_acted()

    def kill_worker(self, reason: str, life: int | None = None) -> None:
        """SIGKILL to the container's process (of that life)."""
        if self.container.state != "running" or life not in (None, self.container.life):
            return
        if self.worker:
            self.worker.kill(self.world.timeline.now, reason)
            self.worker_acted()
        else:
            self._container_ends(137)

    def crash_worker(self) -> None:
        """The process ends by itself."""
        if self.worker and self.up and not self.shutting_down:
            self.worker.kill(self.world.timeline.now, "worker crashed")
            self.worker_acted()

    def stop_container(self, reason: str, grace: float) -> None:
        """``docker stop``: SIGTERM, SIGKILL after the grace. One that waits for its next life does not get it."""
        self.container.stopped_by_hand = True
        life = self.container.life
        self.signal_worker(reason)
        self.world.timeline.after(grace, self.kill_worker, reason, life)

    def restart_docker(self, down: float) -> None:
        """The daemon is stopped and started again; its containers end with it."""
        if self.up and self.docker_up and not self.shutting_down:
            self._stop_docker(
                "docker restarted", lambda: self.world.timeline.after(down, self._docker_back, self._boots)
            )

    def _stop_docker(self, reason: str, then: Callable[[], object]) -> None:
        self.docker_up = False
        if self.container.state == "running":
            life = self.container.life
            self.signal_worker(reason)
            self.world.timeline.after(DOCKER_STOP_SECONDS, self.kill_worker, reason, life)
            self.world.timeline.after(DOCKER_STOP_SECONDS + 0.1, then)
        else:
            self.world.timeline.after(0.5, then)

    def _docker_back(self, boot: int) -> None:
        if self.up and boot == self._boots and not self.shutting_down:
            self._docker_starts()
            self.docker_is_back()

    def docker_is_back(self) -> None:
        """Docker was restarted on a running system: what depends on it follows."""

    def _docker_starts(self) -> None:
        # dockerd brings back what its policies say before it answers anybody.
        if self.containers_exist and self.container.state != "running" and self._is_to_restart():
            self._start_container()
        self.docker_up = True

    def _is_to_restart(self) -> bool:
        failed = self.container.exit_code != 0 or self.restart_policy == "unless-stopped"
        return failed and not self.container.stopped_by_hand

    def _restart_container(self, life: int) -> None:
        if not self.alive or self.container.life != life or self.container.state != "restarting":
            return
        self.container.state = "exited"
        if self.docker_up and not self.container.stopped_by_hand:
            self._start_container()

    def _container_ends(self, code: int) -> None:
        self.container.state, self.container.exit_code = "exited", code
        self.container.life += 1
        self.worker = None
        if self.docker_up and self._is_to_restart():
            self.container.state = "restarting"
            self.world.timeline.after(self.world.dice.uniform(0.1, 1), self._restart_container, self.container.life)

    # --- the worker -----------------------------------------------------------------------------------------------------

    def worker_acted(self) -> None:
        """Look at what the worker is about after something happened to it, and when it will act next."""
        worker, now = self.worker, self.world.timeline.now
        if worker is None:
            return
        if worker.job and self.busy_since is None:
            self.busy_since = now
            self.took_job()
            self.world.tell(self, "takes", worker.job.id)
        elif worker.job is None and self.busy_since is not None:
            self.busy_since, self.last_job_ended = None, now
            self.world.tell(self, "is out of its job")
        if worker.wants_completion:
            worker.wants_completion = False
            self.world.worker_completes(self)
        if worker.exit_code is not None:
            self.world.tell(self, "worker ends with", worker.exit_code)
            self._container_ends(worker.exit_code)
        elif (due := worker.due(now)) < math.inf and due != self._worker_due:
            self._worker_due = due
            self.world.timeline.at(due, self._worker_tick, worker)
        self.world.jobs_may_wait()

    def _worker_tick(self, worker: Worker) -> None:
        if worker is not self.worker:
            return
        job = worker.job
        self._worker_due = math.inf
        worker.advance(self.world.timeline.now)
        if job and worker.job and worker.job is not job:  # one job after the other, without a moment between
            self.busy_since = self.last_job_ended = self.world.timeline.now
            self.world.tell(self, "takes", worker.job.id, "at once")
        self.worker_acted()

    def look_at_queue(self) -> None:
        """A job waits: an idle worker will see it at its next poll."""
        worker = self.worker
        if (
            worker
            and worker.job is None
            and self._worker_due == math.inf
            and (due := worker.due(self.world.timeline.now)) < math.inf
        ):
            self._worker_due = due
            self.world.timeline.at(due, self._worker_tick, worker)

    # --- what the rules and an agent's troubles need; an instance without an agent has none of it ---------------------------

    def note_ability(self) -> None:
        """Something changed on which an agent's ability to act hangs."""

    def beat(self) -> None:
        """The hook's wait began, or a heartbeat took effect."""

    def took_job(self) -> None:
        """An idle worker took a job."""

    def able_since_beat(self) -> float:
        """Seconds since ``beat`` in which an agent could have sent a heartbeat."""
        return 0.0

    def able_since_busy(self) -> float:
        """Seconds since ``took_job`` in which an agent could have protected the instance."""
        return 0.0

    def completion_is_known(self) -> None:
        """An agent has heard that its completion took effect."""

    def knows_completion(self) -> bool:
        """Whether the agent that lives now has heard so."""
        return False

    def abandons_without_reason(self) -> bool:
        """Whether there is no ground for ABANDON."""
        return False

    def stops_without_reason(self) -> bool:
        """Whether there is no ground to stop a busy worker."""
        return False

    def drained_on_purpose(self) -> bool:
        """Whether an operator had its worker stopped."""
        return False

    def agent_trouble(self, happening: Happening) -> None:
        """Something befalls the agent."""

    def agent_killed_at_calls(self, pauses: list[int]) -> None:
        """The agent is to be killed after so many calls, and after so many more in its next lives."""
