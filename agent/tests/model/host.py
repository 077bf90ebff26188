"""One EC2 instance: its system, Docker with the worker's container, its metadata, and the files that an agent writes.

Docker behaves as its restart policies say: a container that was stopped by hand stays down, `on-failure` restarts what
exited with another code than 0, `unless-stopped` everything else too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, Protocol

from ghosthands_agent.ports import BootRecord, Flag

from model.job_queue import MemoryJobQueue
from model.timeline import Timeline
from model.worker import Worker, WorkerOptions

DOCKER_STOP_SECONDS = 10.0  # what dockerd and Compose give a container without a stop_grace_period


class HostEnvironment(Protocol):
    """What the simulated instance needs of the simulation around it."""

    timeline: Timeline
    jobs: MemoryJobQueue
    worker_options: WorkerOptions

    def delay(self, shortest: float, longest: float) -> float:
        """How long something takes, in seconds."""

    def log(self, host: Any, *words: object) -> None:
        """Write a line about this instance to the log of a replay."""

    def host_terminated(self, host: Any) -> None:
        """The instance is gone."""

    def worker_completes_hook(self, host: Any) -> None:
        """The worker calls CompleteLifecycleAction for the hook in its environment."""

    def jobs_may_wait(self) -> None:
        """A job may have become pending."""


class Container:
    """The worker's container. Those of api and deploy-server have no state that is worth a model.

    Attributes:
        exit_code: of its last exit.
        life: counts starts and exits, so that what was meant for one life of it does not affect the next.
        starts: how often it was started.
        signals: how many SIGTERMs its process has received in this life.
    """

    def __init__(self) -> None:
        self.state: Literal["created", "running", "restarting", "exited"] = "created"
        self.exit_code = 0
        self.stopped_by_hand = True
        self.life = 0
        self.starts = 0
        self.signals = 0


class Host:
    """One instance.

    Attributes:
        alive: whether EC2 runs it.
        up: whether its system runs (it is not booting, rebooting or shut down).
        shutting_down: why its system shuts down; empty if it does not.
        target: `autoscaling/target-lifecycle-state` of its metadata.
        spot_action: `spot/instance-action` of its metadata.
        containers_exist: whether Compose has created the project's containers.
        others_run: whether api and deploy-server run.
        files, boot_record, flags: what the agent has written; the last two do not survive a boot of the system.
        images: references of the images that Docker holds.
        baked_image: the reference that was baked into the machine image.
        compose_stops: how often `docker compose stop` began.
        termination_reason: why its group terminates it.
        busy_since: when its worker took its present job; None when idle.
        last_job_ended: when it was last busy.
    """

    restart_policy: Literal["on-failure", "unless-stopped"] = "on-failure"
    worker_hook = ""  # the hook that the worker is configured to complete

    def __init__(self, environment: HostEnvironment, id: str) -> None:
        self.environment = environment
        self.id = id
        self.alive = True
        self.up = False
        self.shutting_down = ""
        self.target: str | None = None
        self.spot_action: str | None = None
        self.docker_up = False
        self.containers_exist = False
        self.others_run = False
        self.container = Container()
        self.worker: Worker | None = None
        self.files: dict[str, str] = {}
        self.boot_record: BootRecord | None = None
        self.flags: dict[Flag, float] = {}
        self.images: set[str] = set()
        self.baked_image: str | None = None
        self.compose_stops = 0
        self.termination_reason = ""
        self.metadata_down_until = -math.inf
        self.worker_hangs_until = -math.inf
        self.disk_full_until = -math.inf
        self.busy_since: float | None = None
        self.last_job_ended = self.timeline.now
        self._configuration = ""
        self._worker_acts_at = math.inf
        self._boots = 0
        self.boot_system()

    @property
    def timeline(self) -> Timeline:
        return self.environment.timeline

    @property
    def now(self) -> float:
        return self.environment.timeline.now

    # --- the system ---------------------------------------------------------------------------------------------------

    def boot_system(self) -> None:
        """Start the kernel; units follow."""
        self._boots += 1
        self.timeline.after(self.environment.delay(12, 30), self._system_is_up, self._boots)

    def _system_is_up(self, boot: int) -> None:
        if not self.alive or boot != self._boots:
            return
        self.up, self.shutting_down = True, ""
        self.boot_record, self.flags = None, {}
        self._start_docker()
        self.start_units()

    def start_units(self) -> None:
        """Start what systemd starts at boot."""

    def shut_down(self, reason: str, then: Callable[[], object]) -> None:
        """Have systemd stop everything, then call `then`.

        Args:
            reason: recorded for the jobs that are left because of it.
        """
        if self.shutting_down or not self.alive:
            return
        self.shutting_down = reason
        self.stop_units(lambda: self._stop_docker(reason, then))

    def stop_units(self, then: Callable[[], object]) -> None:
        """Stop the units, then call `then` once."""
        then()

    def reboot(self) -> None:
        """Reboot in good order."""
        if self.up:
            self.shut_down("rebooted", self._restart_system)

    def _restart_system(self) -> None:
        if self.alive:
            self.up = False
            self.system_is_down()
            self.boot_system()

    def terminate(self) -> None:
        """EC2 terminates it in good order: its system shuts down first."""
        if self.alive and self.up and not self.shutting_down:
            self.shut_down(self.termination_reason, self.vanish)
        elif self.alive:
            self.timeline.after(5, self.vanish)

    def vanish(self, reason: str = "") -> None:
        """It is gone at once, with everything that ran on it."""
        if not self.alive:
            return
        self.alive = self.up = False
        if self.worker:
            self.worker.kill(self.now, reason or self.termination_reason or "terminated")
            self.worker = self.busy_since = None
        self.system_is_down()
        self.environment.host_terminated(self)

    def system_is_down(self) -> None:
        """Nothing runs any more."""
        self.docker_up = False

    # --- Docker -------------------------------------------------------------------------------------------------------

    def compose_up(self, configuration: str = "") -> None:
        """`docker compose up`. Recreates the worker's container if its configuration has changed."""
        self.containers_exist = self.others_run = True
        changed, self._configuration = configuration != self._configuration, configuration
        if changed and self.container.state == "running":
            self.kill_worker("recreated")
        if self.container.state != "running":
            self._start_container()

    def keep_image(self, reference: str) -> None:
        """`docker pull` has downloaded an image."""
        self.images.add(reference)

    def _start_container(self) -> None:
        container = self.container
        container.state, container.stopped_by_hand, container.signals = "running", False, 0
        container.life += 1
        container.starts += 1
        self.timeline.after(self.environment.delay(1, 5), self._start_worker, container.life)

    def _start_worker(self, life: int) -> None:
        if self.alive and self.container.life == life and self.container.state == "running":
            self._worker_acts_at = math.inf
            self.worker = Worker(f"{self.id}/{life}", self.environment.worker_options, self.environment.jobs, self.now)
            self.worker_acted()

    def signal_worker(self, reason: str) -> None:
        """Send SIGTERM to the container's process."""
        if self.container.state != "running":
            return
        self.container.signals += 1
        if self.worker is None:
            self._container_exited(143)
            return
        self.worker.sigterm(self.now, reason)
        self.worker_acted()

    def kill_worker(self, reason: str, life: int | None = None) -> None:
        """Send SIGKILL to the container's process (if `life` is given: of that life of the container)."""
        if self.container.state != "running" or life not in (None, self.container.life):
            return
        if self.worker:
            self.worker.kill(self.now, reason)
            self.worker_acted()
        else:
            self._container_exited(137)

    def crash_worker(self) -> None:
        """The worker's process ends by itself."""
        if self.worker and self.up and not self.shutting_down:
            self.worker.kill(self.now, "worker crashed")
            self.worker_acted()

    def stop_container(self, reason: str, grace: float) -> None:
        """`docker stop`: SIGTERM, SIGKILL after the grace; Docker does not restart the container afterwards."""
        self.container.stopped_by_hand = True
        life = self.container.life
        self.signal_worker(reason)
        self.timeline.after(grace, self.kill_worker, reason, life)

    def restart_docker(self, seconds: float) -> None:
        """Stop the daemon and start it again after that time; its containers end with it."""
        if self.up and self.docker_up and not self.shutting_down:
            self._stop_docker("docker restarted", lambda: self.timeline.after(seconds, self._docker_back, self._boots))

    def _stop_docker(self, reason: str, then: Callable[[], object]) -> None:
        self.docker_up = False
        if self.container.state == "running":
            life = self.container.life
            self.signal_worker(reason)
            self.timeline.after(DOCKER_STOP_SECONDS, self.kill_worker, reason, life)
            self.timeline.after(DOCKER_STOP_SECONDS + 0.1, then)
        else:
            self.timeline.after(0.5, then)

    def _docker_back(self, boot: int) -> None:
        if self.up and boot == self._boots and not self.shutting_down:
            self._start_docker()
            self.docker_restarted()

    def docker_restarted(self) -> None:
        """Docker was restarted on a running system: restart what depends on it."""

    def _start_docker(self) -> None:
        # dockerd restarts containers as its policies say before it answers anybody.
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

    def _container_exited(self, code: int) -> None:
        self.container.state, self.container.exit_code = "exited", code
        self.container.life += 1
        self.worker = None
        if self.docker_up and self._is_to_restart():
            self.container.state = "restarting"
            self.timeline.after(self.environment.delay(0.1, 1), self._restart_container, self.container.life)

    # --- the worker ---------------------------------------------------------------------------------------------------

    def worker_acted(self) -> None:
        """Note what the worker has done after something happened to it, and when it will act next."""
        worker, now = self.worker, self.now
        if worker is None:
            return
        if worker.job and self.busy_since is None:
            self.busy_since = now
            self.worker_took_job()
            self.environment.log(self, "takes", worker.job.id)
        elif worker.job is None and self.busy_since is not None:
            self.busy_since, self.last_job_ended = None, now
            self.environment.log(self, "has no job any more")
        if worker.completes_hook:
            worker.completes_hook = False
            self.environment.worker_completes_hook(self)
        if worker.exit_code is not None:
            self.environment.log(self, "worker exits with", worker.exit_code)
            self._container_exited(worker.exit_code)
        elif (due := worker.next_action_at(now)) < math.inf and due != self._worker_acts_at:
            self._worker_acts_at = due
            self.timeline.at(due, self._advance_worker, worker)
        self.environment.jobs_may_wait()

    def _advance_worker(self, worker: Worker) -> None:
        if worker is not self.worker:
            return
        job = worker.job
        self._worker_acts_at = math.inf
        worker.advance(self.now)
        if job and worker.job and worker.job is not job:  # one job directly after the other
            self.busy_since = self.last_job_ended = self.now
            self.environment.log(self, "takes", worker.job.id, "at once")
        self.worker_acted()

    def worker_took_job(self) -> None:
        """An idle worker took a job."""

    def before_agent_stops_worker(self) -> None:
        """The agent is about to have Docker send SIGTERM to the worker."""

    def stop_reason(self) -> str:
        """The reason that is recorded for a job that the worker leaves because the agent stops it."""
        return "stopped by the agent"

    def flags_changed(self) -> None:
        """The agent has set or cleared a flag."""

    def look_at_queue(self) -> None:
        """A job waits: an idle worker will see it at its next poll."""
        worker = self.worker
        if (
            worker
            and worker.job is None
            and self._worker_acts_at == math.inf
            and (due := worker.next_action_at(self.now)) < math.inf
        ):
            self._worker_acts_at = due
            self.timeline.at(due, self._advance_worker, worker)

    def poll_queue(self) -> None:
        """An idle worker polls the queue now."""
        if self.worker and not self.worker.job:
            self.worker.advance(self.now)
            self.worker_acted()
