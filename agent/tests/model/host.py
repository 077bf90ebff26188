"""One EC2 instance: its system, Docker with the worker's container, its metadata, and the files that an agent writes.

Docker behaves as its restart policies say: a container that was stopped by hand stays down, `on-failure` restarts what
exited with another code than 0, `unless-stopped` everything else too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, Protocol

from ghosthands_agent.ports import BootRecord, Control, Flag, Replacement
from ghosthands_agent.wishes import ANSWER_TAG

from model.job_queue import MemoryJobQueue
from model.timeline import Timeline
from model.worker import RAW, Worker, WorkerOptions

DOCKER_STOP_SECONDS = 10.0  # what dockerd and Compose give a container without a stop_grace_period
DOCKER_RESTART_SECONDS = 90.0  # then systemd kills dockerd, and the next one kills what still runs
DEPLOY_STOP_SECONDS = 30.0  # what deploy-server gives a container [deployment]
RestartPolicy = Literal["on-failure", "unless-stopped"]


class HostEnvironment(Protocol):
    """What the simulated instance needs of the simulation around it."""

    timeline: Timeline
    jobs: MemoryJobQueue
    worker_options: WorkerOptions

    @property
    def wall_jump(self) -> float:
        """How far the systems' wall clocks have jumped until now."""

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
    """A worker's container. Those of api and deploy-server have no state that is worth a model.

    Attributes:
        raw: made by deploy-server, without Compose's labels and without a guard.
        worker: its process, if it has one.
        exit_code: of its last exit.
        exited_at: when that was, by the wall clock.
        life: counts starts and exits, so that what was meant for one life of it does not affect the next.
        starts: how often it was started.
        restarts: how often Docker did so by itself.
        signals: how many SIGTERMs its process has received in this life.
        acts_at: when its process acts next by itself.
        image: what Compose's runs.
    """

    def __init__(self, restart_policy: RestartPolicy, *, raw: bool = False) -> None:
        self.restart_policy = restart_policy
        self.raw = raw
        self.worker: Worker | None = None
        self.state: Literal["created", "running", "restarting", "exited"] = "created"
        self.exit_code = 0
        self.exited_at = -math.inf
        self.stopped_by_hand = True
        self.life = 0
        self.starts = 0
        self.restarts = 0
        self.signals = 0
        self.acts_at = math.inf
        self.image = ""

    @property
    def is_to_restart(self) -> bool:
        failed = self.exit_code != 0 or self.restart_policy == "unless-stopped"
        return failed and not self.stopped_by_hand


class Host:
    """One instance.

    Attributes:
        alive: whether EC2 runs it.
        up: whether its system runs (it is not booting, rebooting or shut down).
        shutting_down: why its system shuts down; empty if it does not.
        target: `autoscaling/target-lifecycle-state` of its metadata.
        spot_action: `spot/instance-action` of its metadata.
        docker_started_at: when its daemon was last started: containers that it starts again have no exit code any more.
        containers_exist: whether Compose has created the project's containers.
        container, raw: the worker's containers: Compose's, and one that deploy-server has put in its place.
        others_run: whether api and deploy-server run.
        files, boot_record, flags: what the agent has written; the last two do not survive a boot of the system.
        tags: of the instance, as its metadata shows them.
        control, wish: the agent's record of that name, which survives a boot; a wish that was left on the host.
        answers: every answer to wishes, in order.
        bad_images: worker images that do not work, and how: the process never answers, or ends at once.
        images: references of the images that Docker holds.
        baked_image: the reference that was baked into the machine image.
        compose_stops: how often `docker compose stop` began.
        termination_reason: why its group terminates it.
        busy_since: when its worker took its present job; None when idle.
        last_job_ended: when it was last busy.
    """

    restart_policy: RestartPolicy = "on-failure"
    stop_grace_seconds = DOCKER_STOP_SECONDS  # of Compose's container of the worker
    worker_hook = ""  # the hook that the worker is configured to complete

    def __init__(self, environment: HostEnvironment, id: str) -> None:
        self.environment = environment
        self.timeline = environment.timeline
        self.id = id
        self.alive = True
        self.up = False
        self.shutting_down = ""
        self.target: str | None = None
        self.spot_action: str | None = None
        self.docker_up = False
        self.docker_started_at = -math.inf
        self.containers_exist = False
        self.others_run = False
        self.container = Container(self.restart_policy)
        self.raw: Container | None = None
        self.files: dict[str, str] = {}
        self.boot_record: BootRecord | None = None
        self.flags: dict[Flag, float] = {}
        self.replacement: Replacement | None = None
        self.setup_errors: list[str] = []
        self.tags: dict[str, str] = {}
        self.control = Control()
        self.wish: str | None = None
        self.answers: list[str] = []
        self.bad_images: dict[str, Literal["silent", "crashes"]] = {}
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
        self._boots = 0
        self._processes = 0
        self.boot_system()

    @property
    def now(self) -> float:
        return self.timeline.now

    @property
    def wall(self) -> float:
        """Its wall clock."""
        return self.now + self.environment.wall_jump

    @property
    def containers(self) -> list[Container]:
        """The worker's containers."""
        return [self.container, self.raw] if self.raw else [self.container]

    @property
    def listener(self) -> Container | None:
        """The container whose process listens on the worker's port."""
        worker, raw = self.container.worker, self.raw
        if worker and not worker.port_is_taken:
            return self.container
        return raw if raw and raw.worker and not raw.worker.port_is_taken else None

    @property
    def worker(self) -> Worker | None:
        """The process that answers on the worker's port."""
        listener = self.listener
        return listener.worker if listener else None

    @property
    def workers(self) -> list[Worker]:
        """Every worker process."""
        return [each.worker for each in self.containers if each.worker]

    # --- the system ---------------------------------------------------------------------------------------------------

    def boot_system(self) -> None:
        """Start the kernel; units follow."""
        self._boots += 1
        self.timeline.after(self.environment.delay(12, 30), self._system_is_up, self._boots)

    def _system_is_up(self, boot: int) -> None:
        if not self.alive or boot != self._boots:
            return
        self.up, self.shutting_down = True, ""
        self.boot_record, self.flags, self.replacement, self.wish = None, {}, None, None
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
        for container in self.containers:
            if container.worker:
                container.worker.kill(self.now, reason or self.termination_reason or "terminated")
                container.worker = None
        self.busy_since = None
        self.system_is_down()
        self.environment.host_terminated(self)

    def system_is_down(self) -> None:
        """Nothing runs any more."""
        self.docker_up = False

    # --- Docker -------------------------------------------------------------------------------------------------------

    def compose_up(self, configuration: str = "") -> None:
        """`docker compose up`, where no container is to be recreated."""
        self.containers_exist = self.others_run = True
        self._configuration = configuration
        if self.container.state != "running":
            found = re.findall(r"^ECR_IMAGE='(.*)'$", configuration, re.MULTILINE)
            self.container.image = found[-1] if found else ""
            self._start_container(self.container)

    def is_recreated_by(self, configuration: str) -> bool:
        """Whether `docker compose up` stops the worker's container first, because its configuration has changed."""
        return configuration != self._configuration and self.container.state == "running"

    def keep_image(self, reference: str) -> None:
        """`docker pull` has downloaded an image."""
        self.images.add(reference)

    def _start_container(self, container: Container) -> None:
        container.state, container.stopped_by_hand, container.signals = "running", False, 0
        container.life += 1
        container.starts += 1
        self.timeline.after(self.environment.delay(1, 5), self._start_worker, container, container.life)

    def _start_worker(self, container: Container, life: int) -> None:
        if self.alive and container.life == life and container.state == "running":
            bad = self.bad_images.get(container.image)
            if bad == "crashes":
                self.timeline.after(0.2, self._crash, container, life)
            if bad:
                return
            self._processes += 1
            name = f"{self.id}{RAW if container.raw else '/'}{self._processes}"
            options = self.environment.worker_options
            options = replace(options, guard=None, drains_itself=False) if container.raw else options
            taken = self.worker is not None
            container.acts_at = math.inf
            container.worker = Worker(name, options, self.environment.jobs, self.now, port_is_taken=taken)
            container.worker.wall_began = self.wall
            self.worker_acted(container)

    def _crash(self, container: Container, life: int) -> None:
        if container.life == life and container.state == "running":
            self._container_exited(container, 1)

    def signal_worker(self, reason: str, container: Container | None = None) -> None:
        """Send SIGTERM to the container's process."""
        container = container or self.container
        if container.state != "running":
            return
        container.signals += 1
        if container.worker is None:
            self._container_exited(container, 143)
            return
        container.worker.sigterm(self.now, reason)
        self.worker_acted(container)

    def kill_worker(self, reason: str, life: int | None = None, container: Container | None = None) -> None:
        """Send SIGKILL to the container's process (if `life` is given: of that life of the container)."""
        container = container or self.container
        if container.state != "running" or life not in (None, container.life):
            return
        if container.worker:
            container.worker.kill(self.now, reason)
            self.worker_acted(container)
        else:
            self._container_exited(container, 137)

    def crash_worker(self) -> None:
        """The worker's process ends by itself."""
        if self.listener and self.listener.worker and self.up and not self.shutting_down:
            self.listener.worker.kill(self.now, "worker crashed")
            self.worker_acted(self.listener)

    def stop_container(self, reason: str, grace: float, container: Container | None = None) -> None:
        """`docker stop`: SIGTERM, SIGKILL after the grace; Docker does not restart the container afterwards."""
        container = container or self.container
        container.stopped_by_hand = True
        if container.state == "restarting":
            container.state = "exited"
        life = container.life
        self.signal_worker(reason, container)
        self.timeline.after(grace, self.kill_worker, reason, life, container)

    def remove_containers(self, removed: list[Container]) -> None:
        """`docker rm` of stopped containers."""
        if self.raw in removed:
            self.raw = None
        if self.container in removed:
            self.container, self._configuration = Container(self.restart_policy), ""

    def restart_docker(self, seconds: float) -> None:
        """Stop the daemon and start it again after that time; its containers end with it."""
        if self.up and self.docker_up and not self.shutting_down:
            self._stop_docker("docker restarted", lambda: self.timeline.after(seconds, self._docker_back, self._boots))

    def _stop_docker(self, reason: str, then: Callable[[], object]) -> None:
        self.docker_up = False
        longest = 0.4
        for container in self.containers:
            if container.state == "running":
                grace = min(DOCKER_STOP_SECONDS if container.raw else self.stop_grace_seconds, DOCKER_RESTART_SECONDS)
                longest, life = max(longest, grace), container.life
                self.signal_worker(reason, container)
                self.timeline.after(grace, self.kill_worker, reason, life, container)
        self._when_stopped(self.now + longest + 0.1, then)

    def _when_stopped(self, latest: float, then: Callable[[], object]) -> None:
        """Call `then` once no container runs."""
        if self.now >= latest or not any(container.state == "running" for container in self.containers):
            self.timeline.after(0.1, then)
        else:
            self.timeline.after(0.5, self._when_stopped, latest, then)

    def _docker_back(self, boot: int) -> None:
        if self.up and boot == self._boots and not self.shutting_down:
            self._start_docker()
            self.docker_restarted()

    def docker_restarted(self) -> None:
        """Docker was restarted on a running system: restart what depends on it."""

    def _start_docker(self) -> None:
        # dockerd restarts containers as its policies say before it answers anybody.
        for container in self.containers:
            if container.starts and container.state != "running" and container.is_to_restart:
                self._start_container(container)
        self.docker_up, self.docker_started_at = True, self.now

    def _restart_container(self, container: Container, life: int) -> None:
        if not self.alive or container.life != life or container.state != "restarting":
            return
        container.state = "exited"
        if self.docker_up and not container.stopped_by_hand:
            container.restarts += 1
            self._start_container(container)

    def _container_exited(self, container: Container, code: int) -> None:
        container.state, container.exit_code, container.exited_at = "exited", code, self.wall
        container.life += 1
        container.worker = None
        if self.docker_up and container.is_to_restart:
            container.state = "restarting"
            self.timeline.after(self.environment.delay(0.1, 1), self._restart_container, container, container.life)

    # --- deploy-server ------------------------------------------------------------------------------------------------

    def deploy(self) -> None:
        """deploy-server replaces the worker's container by one of its own [deployment].

        It ends where it is when deploy-server is stopped.
        """
        if not self._deploy_server_runs or not any(each.state == "running" for each in self.containers):
            return
        self.environment.log(self, "deploy-server stops the worker")
        if self.worker:
            self.worker.drain(self.now)
        for container in self.containers:
            if container.state == "running":
                self.timeline.after(0.02, self.stop_container, "deployment", DEPLOY_STOP_SECONDS, container)
        self.timeline.after(1.0, self._replace_containers)

    @property
    def _deploy_server_runs(self) -> bool:
        return self.up and self.docker_up and self.others_run and not self.shutting_down

    def _replace_containers(self) -> None:
        if not self._deploy_server_runs:
            return
        if any(container.state == "running" for container in self.containers):
            self.timeline.after(0.5, self._replace_containers)
            return
        self.container = Container(self.restart_policy)
        self.raw = None
        self.timeline.after(self.environment.delay(3, 10), self._start_raw)

    def _start_raw(self) -> None:
        if self._deploy_server_runs and self.raw is None:
            self.environment.log(self, "deploy-server starts a worker")
            self.raw = Container("unless-stopped", raw=True)
            self._start_container(self.raw)

    # --- the worker ---------------------------------------------------------------------------------------------------

    def worker_acted(self, container: Container) -> None:
        """Note what the worker has done after something happened to it, and when it will act next."""
        worker, now = container.worker, self.now
        if worker is None:
            return
        busy = any(each.job for each in self.workers)
        if busy and self.busy_since is None:
            self.busy_since = now
            self.worker_took_job()
            self.job_taken(worker)
            self.environment.log(self, "takes", worker.job.id if worker.job else "a job")
        elif not busy and self.busy_since is not None:
            self.busy_since, self.last_job_ended = None, now
            self.environment.log(self, "has no job any more")
        if worker.completes_hook:
            worker.completes_hook = False
            self.environment.worker_completes_hook(self)
        if worker.exit_code is not None:
            self.environment.log(self, f"worker {worker.process} exits with", worker.exit_code)
            self._container_exited(container, worker.exit_code)
        else:
            self._plan(container, worker)
        self.environment.jobs_may_wait()

    def _plan(self, container: Container, worker: Worker) -> None:
        due = worker.next_action_at(self.now)
        if due < container.acts_at:
            container.acts_at = due
            self.timeline.at(due, self._advance_worker, container, worker, due)

    def _advance_worker(self, container: Container, worker: Worker, due: float) -> None:
        if worker is not container.worker or due != container.acts_at:
            return
        container.acts_at = math.inf
        job = worker.job
        worker.advance(self.now)
        if job and worker.job and worker.job is not job:  # one job directly after the other
            self.busy_since = self.last_job_ended = self.now
            self.job_taken(worker)
            self.environment.log(self, "takes", worker.job.id, "at once")
        self.worker_acted(container)

    def worker_took_job(self) -> None:
        """An idle worker took a job."""

    def job_taken(self, worker: Worker) -> None:
        """A worker took a job, also directly after another one."""

    def before_agent_stops_worker(self, container: Container) -> None:
        """The agent is about to have Docker send SIGTERM to the worker."""

    def stop_reason(self) -> str:
        """The reason that is recorded for a job that the worker leaves because the agent stops it."""
        return "stopped by the agent"

    def flags_changed(self) -> None:
        """The agent has set or cleared a flag."""

    def control_changed(self) -> None:
        """A wish was left on the host, or the agent's record of wishes was written."""

    def answered(self, text: str) -> None:
        """The agent has answered a wish."""
        self.tags[ANSWER_TAG] = text
        self.answers.append(text)

    def look_at_queue(self) -> None:
        """A job waits, or another worker has taken one over: a worker will see it at its next poll or heartbeat."""
        for container in self.containers:
            if container.worker and container.worker.exit_code is None:
                self._plan(container, container.worker)

    def poll_queue(self) -> None:
        """An idle worker polls the queue now."""
        listener = self.listener
        if listener and listener.worker and not listener.worker.active:
            listener.worker.advance(self.now)
            self.worker_acted(listener)
