"""A world: one AWS account's services, the machines behind its instances, its clock and its metadata service, joined.

This is the only module that knows groups, EC2 and machines: it hands to each what it needs of the others, and passes
the host's reports about machines on to EC2 and the groups. Several worlds run in one process, see
``patches.backends``.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import moto.core.responses
import moto.ecr.models
import moto.iam.models
import moto.secretsmanager.models
from moto.autoscaling import urls as autoscaling_urls
from moto.autoscaling.models import autoscaling_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.ec2 import urls as ec2_urls
from moto.ec2.models import ec2_backends
from moto.ecr import urls as ecr_urls
from moto.ecr.models import ecr_backends
from moto.iam import urls as iam_urls
from moto.iam.models import iam_backends
from moto.kms import urls as kms_urls
from moto.kms.models import kms_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.servicequotas.models import servicequotas_backends
from moto.ssm.models import ssm_backends
from moto.sts.models import sts_backends

from localcloud import imds, seed, services
from localcloud.autoscaling.groups import Groups
from localcloud.autoscaling.service import AutoScaling
from localcloud.clock import Clock
from localcloud.ec2 import metadata
from localcloud.ec2.service import Ec2, Ec2Backend
from localcloud.ecr import service as ecr
from localcloud.ecr.tokens import Tokens
from localcloud.iam.service import LINKED_ROLES, Iam, IamBackend, PolicyValidator
from localcloud.instances import Cause, Host
from localcloud.instances.simulated import SimulatedHost
from localcloud.machines import Machines
from localcloud.patches.backends import Backends, State, keep_apart
from localcloud.patches.picker import Picker
from localcloud.strictness import STRICT, Strictness

#: How long after a machine has ended by itself its group's health check finds it, in seconds of real time (derived). So
#: a command that always fails is started once a second, not as often as the processor allows.
HEALTH_CHECK_SECONDS = 1.0
log = logging.getLogger(__name__)


@cache
def install() -> None:
    """Put our classes where moto looks for its own; once per process."""
    autoscaling_urls.url_paths = {"{0}/$": AutoScaling.dispatch}
    ec2_urls.url_paths = {"{0}/": Ec2.dispatch}
    ecr_urls.url_paths = {"{0}/$": ecr.Ecr.dispatch}
    iam_urls.url_paths = {"{0}/$": Iam.dispatch}
    kms_urls.url_paths = {"{0}/$": services.KmsActions.dispatch}
    vars(moto.ecr.models)["Image"] = ecr.Image
    vars(moto.secretsmanager.models)["FakeSecret"] = services.Secret
    vars(moto.iam.models)["IAMPolicyDocumentValidator"] = PolicyValidator
    vars(moto.core.responses)["XFormedAttributePicker"] = Picker
    keep_apart()


class World:
    """One cloud. ``lock`` guards all of its state: enter the world to read or change it.

    It is the listener of its machines' host.

    Args:
        strictness: which of AWS's delays and limits it has.

    Attributes:
        event_numbers: of its groups' events, from 1.
        observers: called with the id and the new lifecycle state of each group instance that changes it.
    """

    def __init__(self, strictness: Strictness = STRICT) -> None:
        install()
        self.strictness = strictness
        self._random = random.Random(strictness.seed)
        self.lock = threading.RLock()
        self.clock = Clock()
        self.event_numbers: Iterator[int] = itertools.count(1)
        self.observers: list[Callable[[str, str], None]] = []
        self.machines = Machines(self, self.clock.now, self.lock)
        self.metadata = imds.Service(self.view_of)
        self.registry_tokens = Tokens()
        self.backends = Backends(
            [
                (autoscaling_backends, partial(Groups, cloud=self)),
                (ec2_backends, partial(Ec2Backend, cloud=self)),
                (cloudwatch_backends, services.CloudWatch),
                (ecr_backends, partial(ecr.EcrBackend, cloud=self)),
                (iam_backends, partial(IamBackend, cloud=self)),
                (kms_backends, services.Kms),
                (logs_backends, services.Logs),
                (secretsmanager_backends, services.SecretsManager),
                (servicequotas_backends, services.ServiceQuotas),
                (ssm_backends, services.Ssm),
                (sts_backends, services.Sts),
            ]
        )
        self._snapshot: tuple[State, float] | None = None
        with self.entered():
            self._seed()

    def __deepcopy__(self, memo: dict[int, Any]) -> World:
        """Backends know their world; a copy of them is of the same world."""
        return self

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Hold the lock, and let moto see this world's state."""
        with self.lock, self.backends.entered():
            yield

    # --- its parts --------------------------------------------------------------------------------------------------

    def groups(self, account: str = seed.ACCOUNT, region: str = seed.REGION) -> Groups:
        """The groups of an account and region."""
        found: Any = autoscaling_backends[account][region]
        return found  # type: ignore[no-any-return]

    def all_groups(self) -> list[Groups]:
        """The groups of every account and region in use."""
        return _regional(autoscaling_backends)

    def find_instance(self, instance_id: str) -> tuple[Ec2Backend, Any] | None:
        """An instance and EC2 of its account and region."""
        for ec2 in _regional(ec2_backends):
            if (instance := ec2.instances_by_id.get(instance_id)) is not None:
                return ec2, instance
        return None

    def view_of(self, instance_id: str) -> imds.View | None:
        """The instance as its metadata service shows it now; None if there is none, or it is terminated."""
        with self.entered():
            found = self.find_instance(instance_id)
            if found is None or found[1].state == "terminated":
                return None
            ec2, instance = found
            target = self.groups(ec2.account_id, ec2.region_name).target_state(instance_id)
            return metadata.view(ec2, instance, target, self.metadata.notices.get(instance_id, imds.Notice()))

    def delay(self, longest: float) -> float:
        """Some seconds, at most so many, by the seed."""
        return self._random.uniform(0, longest)

    # --- time and state ---------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due; what fails stops nothing else."""
        with self.entered():
            self.machines.tick()
            for groups in self.all_groups():
                try:
                    groups.tick()
                except Exception:
                    log.exception("a group's timeouts failed")

    def advance(self, seconds: float) -> None:
        """Let so much time of this world pass at once.

        Raises:
            ValueError: it is negative.
        """
        if seconds < 0:
            raise ValueError("seconds must not be negative")
        self.clock.lead += seconds
        self.tick()

    def events_after(self, number: int) -> list[dict[str, Any]]:
        """The events of all groups with a higher number, in order."""
        events = [asdict(event) for groups in self.all_groups() for event in groups.events if event.number > number]
        return sorted(events, key=lambda event: int(event["number"]))

    def reset(self) -> None:
        """Terminate every machine and begin again with the seeded account.

        Raises:
            OSError: machines did not terminate in time.
        """
        with self.entered():
            self.machines.clear()
            self.metadata.clear()
            self.backends.clear()
            self._random.seed(self.strictness.seed)
            self._seed()

    def _seed(self) -> None:
        if ec2_backends[seed.ACCOUNT][seed.REGION].default_vpc is None:  # builds the seeds
            raise RuntimeError("the seeded network is missing")
        iam: Any = iam_backends[seed.ACCOUNT]["aws"]
        for service in LINKED_ROLES if self.strictness.linked_roles else ():
            iam.make_linked_role(service)

    @property
    def has_snapshot(self) -> bool:
        """Whether there is anything to restore."""
        return self._snapshot is not None

    def take_snapshot(self) -> None:
        """Remember the state as it is now, instead of an earlier one.

        Raises:
            ValueError: the machines are real ones.
        """
        self.machines.check_restorable()
        self._snapshot = self.backends.copied(), self.clock.lead

    def restore_snapshot(self) -> None:
        """Put the state back as it was at the snapshot, and the clock's lead: what was due since then is not due again.

        Raises:
            ValueError: no snapshot was taken, or the machines are real ones.
        """
        self.machines.check_restorable()
        if self._snapshot is None:
            raise ValueError("no snapshot was taken")
        state, self.clock.lead = self._snapshot
        self.backends.restore(state)
        self._restore_machines()

    def _restore_machines(self) -> None:
        """Go on with the machines of the instances that EC2 has now."""
        self.machines.host.close()
        self.machines.forget()
        for ec2 in _regional(ec2_backends):
            for instance in list(ec2.instances_by_id.values()):
                if instance.state != "terminated":
                    self.machines.add_existing(instance.id)
                if instance.state == "pending":
                    self.machines.host.launch(ec2.machine_of(instance))
        for groups in self.all_groups():
            groups.report_waiting()

    # --- hosts ------------------------------------------------------------------------------------------------------

    def use(self, host: Host) -> None:
        """Run machines on another host from now on, and end the former host's. Call it without the lock."""
        self.machines.use(host)
        with self.lock:
            self.observers[:] = [host.lifecycle_state_changed] if isinstance(host, SimulatedHost) else []

    def complete_launches(self, complete: bool) -> None:
        """Whether simulated instances complete their launch hooks once they run. Raises ValueError for other hosts."""
        host = self.machines.host
        if not isinstance(host, SimulatedHost):
            raise ValueError(f"instances are of kind {host.kind}: what runs on them completes their hooks")
        host.completes_launches = complete

    def close(self) -> None:
        """End every machine. Call it without the lock."""
        self.machines.close()

    def simulated(self, boot_seconds: float = 0.0, agent_seconds: float | None = None) -> SimulatedHost:
        """A host of simulated machines: how long they take to boot, and to drain if they have an agent."""
        return SimulatedHost(
            self,
            self.machines.timetable,
            boot_seconds=boot_seconds,
            agent_seconds=agent_seconds,
            complete_hooks=self._complete_lifecycle_actions,
        )

    def _complete_lifecycle_actions(self, instance_id: str) -> None:
        """What an agent does in the end: complete every action that its instance waits in."""
        for groups in self.all_groups():
            groups.complete_lifecycle_actions(instance_id)

    # --- what the host reports, from any thread ---------------------------------------------------------------------

    def running(self, instance_id: str) -> None:
        """The machine is on."""
        with self._report(instance_id):
            if (found := self._reported(instance_id)) and found[0].switched_on(found[1]):
                self.groups(found[0].account_id, found[0].region_name).booted(instance_id)

    def ended(self, instance_id: str, cause: Cause, reason: str) -> None:
        """The machine is off."""
        if cause == "failed":
            log.warning("%s failed: %s", instance_id, reason)
        with self._report(instance_id):
            if cause == "terminated":
                self.machines.terminated(instance_id)
            if found := self._reported(instance_id):
                self._end(*found, cause, reason)
        if cause == "failed":
            self.machines.host.terminate(instance_id)  # what is left of it

    def image_made(self, image_id: str, problem: str | None) -> None:
        """The image can be booted, or not."""
        with self._report(image_id):
            if problem:
                self.machines.image_failed(image_id)
            for ec2 in _regional(ec2_backends):
                ec2.image_made(image_id, problem)

    def _end(self, ec2: Ec2Backend, instance: Any, cause: Cause, reason: str) -> None:
        if instance.state == "terminated":
            return
        asked = instance.state in ("stopping", "shutting-down")
        groups = self.groups(ec2.account_id, ec2.region_name)
        ec2.switched_off(instance, cause, reason)
        if instance.state == "terminated":
            groups.gone(instance.id)
        if not asked:
            stopped = cause == "stopped" and instance.state == "stopped"
            wait = HEALTH_CHECK_SECONDS * self.clock.speed
            self.machines.timetable.after(wait, lambda: groups.lost([instance.id], stopped=stopped))

    def _reported(self, instance_id: str) -> tuple[Ec2Backend, Any] | None:
        """The instance that a report is about; None while all machines are cleared away."""
        return None if self.machines.clearing else self.find_instance(instance_id)

    @contextlib.contextmanager
    def _report(self, id: str) -> Iterator[None]:
        """Take in a report; what fails is logged, so that no machine stops the cloud."""
        with self.entered():
            try:
                yield
            except Exception:
                log.exception("the report about %s was not taken in", id)


def _regional(holder: Any) -> list[Any]:
    """A service's backends of all accounts and regions in use."""
    return [backend for regions in holder.values() for backend in regions.values()]
