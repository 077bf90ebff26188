"""Joins the ports with the adapters of this host."""

from __future__ import annotations

import os
import random

from .aws import Account, OwnGroup, OwnTag, WorkerSecret
from .clock import LinuxClock
from .cloudwatch_agent import CloudWatchShipper
from .compose import DockerCompose
from .docker import Docker, DockerImages
from .files import ProjectFiles
from .imds import ENDPOINT, Imds
from .journal import StderrJournal
from .notify import Systemd
from .paths import Paths
from .ports import Journal, Ports
from .records import RunRecords
from .registry import EcrRegistry
from .settings import Settings
from .system import LinuxSystem
from .worker import HttpWorker


def journal() -> Journal:
    """The log: for journald if it listens, else for a terminal or a file."""
    return StderrJournal(priorities="JOURNAL_STREAM" in os.environ)


def metadata() -> Imds:
    """This instance's metadata service. Raises ValueError if AWS_EC2_METADATA_SERVICE_ENDPOINT is not valid."""
    return Imds(os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ENDPOINT)


def account(settings: Settings) -> Account:
    """The account that the instance is in."""
    return Account(settings.region, settings.endpoint_url)


def ports(settings: Settings, paths: Paths, log: Journal) -> Ports:
    """All ports; nothing is called yet. Raises ValueError if the environment is not valid."""
    services, docker, imds = account(settings), Docker(paths), metadata()
    return Ports(
        clock=LinuxClock(),
        metadata=imds,
        group=OwnGroup(services, settings.group, imds.instance_id),
        answers=OwnTag(services, imds.instance_id),
        secret=WorkerSecret(services, settings.secret_id),
        registry=EcrRegistry(services, paths, settings.image),
        images=DockerImages(docker, paths),
        compose=DockerCompose(docker, paths),
        worker=HttpWorker(paths.worker_port),
        files=ProjectFiles(paths),
        records=RunRecords(paths),
        system=LinuxSystem(paths),
        logs=CloudWatchShipper(enabled=settings.log_group is not None),
        journal=log,
        supervisor=Systemd(),
        random=random.random,
    )
