"""Paths and ports on the host, under a root that tests and process instances can choose. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

API_PORT, WORKER_PORT, DEPLOY_PORT = 3100, 3101, 8000  # RUNBOOK section 7


@dataclass(frozen=True)
class Paths:
    """Every path and local port that the agent uses.

    Attributes:
        root: directory above all paths: `/` except in tests.
        api_port: port of the api service on 127.0.0.1.
        worker_port: port of the worker's status server on 127.0.0.1.
    """

    root: Path = Path("/")
    api_port: int = API_PORT
    worker_port: int = WORKER_PORT

    @property
    def config(self) -> Path:
        """agent.conf, written by user data."""
        return self.root / "etc/ghosthands/agent.conf"

    @property
    def project(self) -> Path:
        """Compose's project directory."""
        return self.root / "opt/ghosthands"

    @property
    def compose_file(self) -> Path:
        """The compose file of the machine image."""
        return self.project / "docker-compose.prod.yml"

    @property
    def override(self) -> Path:
        """The compose override that boot writes."""
        return self.project / "docker-compose.override.yml"

    @property
    def environment(self) -> Path:
        """The `.env` that boot writes."""
        return self.project / ".env"

    @property
    def next_environment(self) -> Path:
        """The `.env` that a renewal or release is about to put in place. Compose does not read it."""
        return self.project / ".env.next"

    @property
    def previous_environment(self) -> Path:
        """The `.env` before, until a worker has registered with the new one."""
        return self.project / ".env.previous"

    @property
    def docker_config(self) -> Path:
        """The directory of docker's logins (DOCKER_CONFIG), which is mounted into the deploy server."""
        return self.project / "docker-config"

    @property
    def baked_image(self) -> Path:
        """The reference of the worker image that was baked into the machine image, one line; absent if none was."""
        return self.root / "usr/share/ghosthands/baked-image"

    @property
    def log_shipper(self) -> Path:
        """The log shipper's configuration. amazon-cloudwatch-agent reads every file of its directory."""
        return self.root / "opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.d/ghosthands.json"

    @property
    def run(self) -> Path:
        """State that lasts until the next boot of the system."""
        return self.root / "run/ghosthands"

    @property
    def boot_record(self) -> Path:
        """The boot record, for operators and for `watch`."""
        return self.run / "boot.json"

    @property
    def flags(self) -> Path:
        """The flags of ports.Records."""
        return self.run / "flags.json"

    @property
    def replacement(self) -> Path:
        """The record of that name, for operators."""
        return self.run / "replacement.json"

    @property
    def wish(self) -> Path:
        """The wish that somebody left on this host."""
        return self.run / "wish.json"

    @property
    def control(self) -> Path:
        """The record of that name, which survives a boot of the system."""
        return self.root / "var/lib/ghosthands/control.json"

    @property
    def cloud_init_result(self) -> Path:
        """What cloud-init writes when it is done: docs.cloud-init.io, "Exported errors" and "result.json"."""
        return self.root / "run/cloud-init/result.json"

    @property
    def docker_data(self) -> Path:
        """Docker's images and containers."""
        return self.root / "var/lib/docker"

    @property
    def worker_guard(self) -> Path:
        """The guard that boot writes. Its directory is mounted into the worker."""
        return self.project / "worker-guard/drain_guard.ts"

    @property
    def proc(self) -> Path:
        """The kernel's list of processes and sockets."""
        return self.root / "proc"
