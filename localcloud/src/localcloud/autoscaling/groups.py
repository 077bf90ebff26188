"""Auto Scaling groups over EC2: holds the pure groups of ``fleet`` and applies their effects."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from moto.autoscaling import urls
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.base_backend import BaseBackend
from moto.core.exceptions import ServiceException
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from localcloud import fleet
from localcloud.clock import Clock

if TYPE_CHECKING:
    from localcloud.ec2.service import Ec2Backend
    from localcloud.iam.service import IamBackend


#: The tag of a group's instances in EC2.
GROUP_TAG = "aws:autoscaling:groupName"
#: Lifecycle states, up to a colon -> the target lifecycle state, if it is another.
TARGETS = {"Pending": "InService", "EnteringStandby": "Standby", "Detaching": "Detached", "Terminating": "Terminated"}
#: How many events are kept.
EVENTS_KEPT = 20_000


class Cloud(Protocol):
    """What groups need of the world that they are in."""

    #: The time by which timeouts pass.
    clock: Clock
    #: Numbers of events, one series for all groups of the world.
    event_numbers: Iterator[int]
    #: Called with the id and the new lifecycle state of each instance that changes it.
    observers: list[Callable[[str, str], None]]


@dataclass(frozen=True)
class Event:
    """An instance's change of lifecycle state, numbered from 1; ``at`` is seconds since the epoch."""

    number: int
    at: float
    group: str
    instance_id: str
    before: str
    after: str


@dataclass(frozen=True)
class Tag:
    """A group's tag; with ``propagate``, instances that are launched get it too."""

    key: str
    value: str
    propagate: bool = False


@dataclass
class GroupRecord:
    """A group with what only its descriptions need."""

    group: fleet.Group
    arn: str
    tags: dict[str, Tag] = field(default_factory=dict)
    metrics: set[str] = field(default_factory=set)


def new_id() -> str:
    """A new unique text."""
    return str(uuid.uuid4())


class Groups(BaseBackend):
    """The groups of one account and region."""

    _url_module = urls

    def __init__(self, region_name: str, account_id: str, cloud: Cloud) -> None:
        super().__init__(region_name, account_id)
        self.cloud = cloud
        self.records: dict[str, GroupRecord] = {}
        self.deleted: list[GroupRecord] = []
        #: Instances that left their group and run on.
        self.detached: set[str] = set()
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.cloud.clock.now()

    @property
    def ec2(self) -> Ec2Backend:
        """EC2 of the same account and region."""
        backend: Any = ec2_backends[self.account_id][self.region_name]
        return backend  # type: ignore[no-any-return]

    @property
    def iam(self) -> IamBackend:
        """IAM of the same account."""
        backend: Any = iam_backends[self.account_id][self.partition]
        return backend  # type: ignore[no-any-return]

    @property
    def alarms(self) -> dict[str, str]:
        """The states of CloudWatch's alarms in the same account and region, by name."""
        backend: Any = cloudwatch_backends[self.account_id][self.region_name]
        return {name: str(alarm.state_value) for name, alarm in backend.alarms.items()}

    def alarms_changed(self) -> None:
        """CloudWatch's alarms are not as they were."""
        for record in self.records.values():
            self.perform(record, record.group.set_alarms(self.alarms, self.now()))

    def by_name(self, name: str | None) -> GroupRecord:
        """The group of that name.

        Raises:
            Refused: ``ValidationError`` if there is none.
        """
        if name not in self.records:
            raise fleet.invalid(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        return self.records[name]

    def by_instance(self, instance_id: str) -> GroupRecord:
        """The group that the instance belongs to.

        Raises:
            Refused: ``ValidationError`` if none does.
        """
        for record in self.records.values():
            if instance_id in record.group.instances:
                return record
        raise fleet.invalid(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")

    def create(
        self, name: str, settings: fleet.Settings, tags: Iterable[Tag], hooks: Iterable[fleet.Hook]
    ) -> GroupRecord:
        """Create a group and launch what it desires.

        Raises:
            Refused: ``AlreadyExists``, or what ``fleet.validated`` refuses.
        """
        if name in self.records:
            raise fleet.Refused(
                "AlreadyExists",
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
            )
        now = self.now()
        group = fleet.Group(name, fleet.validated(settings), now, new_id)
        if settings.service_linked_role is None:
            self.iam.make_linked_role("autoscaling.amazonaws.com")
        for hook in hooks:
            group.put_hook(hook)
        arn = (
            f"arn:{self.partition}:autoscaling:{self.region_name}:{self.account_id}:autoScalingGroup:{new_id()}"
            f":autoScalingGroupName/{name}"
        )
        record = self.records[name] = GroupRecord(group, arn, {tag.key: tag for tag in tags})
        self.perform(record, group.start(now))
        return record

    def delete(self, name: str, *, force: bool) -> None:
        """Delete a group; when forced, its instances end without their hooks.

        Raises:
            Refused: what ``fleet.Group.delete`` refuses.
        """
        record = self.by_name(name)
        self.perform(record, record.group.delete(force=force))
        self.deleted.append(self.records.pop(name))

    def lost(self, instance_ids: Iterable[str], *, stopped: bool = False) -> None:
        """EC2 terminated or stopped these by itself or by a call of EC2's API."""
        for record in self.records.values():
            for id in instance_ids:
                self.perform(record, record.group.lost(id, self.now(), stopped=stopped))

    def notify_terminate_instances(self, instance_ids: list[str]) -> None:
        """moto's TerminateInstances calls this: to a group, a terminated instance is an unhealthy one."""
        self.lost(instance_ids)

    def found(self, instance_ids: Iterable[str]) -> None:
        """EC2 started these again (StartInstances)."""
        for record in self.records.values():
            for id in instance_ids:
                record.group.restarted(id)

    def booted(self, instance_id: str) -> None:
        """EC2 runs an instance that was pending."""
        for record in self.records.values():
            self.perform(record, record.group.booted(instance_id, self.now()))

    def gone(self, instance_id: str) -> None:
        """EC2 has terminated an instance: so is it in its group, even if that has been deleted meanwhile."""
        for record in [*self.records.values(), *self.deleted]:
            instance = record.group.instances.get(instance_id)
            if instance and instance.state == "Terminating:Proceed":
                record.group.terminated(instance_id, self.now())
                self._note_moves(record.group)

    def complete_lifecycle_actions(self, instance_id: str) -> None:
        """Complete every lifecycle action that the instance waits in."""
        for record in self.records.values():
            if instance := record.group.instances.get(instance_id):
                for hook in [wait.hook.name for wait in instance.waits]:
                    self.perform(
                        record, record.group.complete(hook, "CONTINUE", self.now(), instance_id=instance_id, token=None)
                    )

    def report_waiting(self) -> None:
        """Tell observers of the instances that wait in a hook now."""
        waiting = [
            instance
            for record in self.records.values()
            for instance in record.group.instances.values()
            if instance.waits
        ]
        for follow in self.cloud.observers:
            for instance in waiting:
                follow(instance.id, instance.state)

    def target_state(self, instance_id: str) -> str | None:
        """The lifecycle state that the instance moves to or is in; None outside every group.

        (UG, "Retrieve the target lifecycle state through instance metadata".)
        """
        for record in self.records.values():
            if instance := record.group.instances.get(instance_id):
                phase = instance.state.partition(":")[0]
                return TARGETS.get(phase, phase)
        if instance_id in self.detached:
            return "Detached"
        return "Terminated" if GROUP_TAG in self.ec2.tags.get(instance_id, {}) else None

    def candidate(self, instance_id: str) -> fleet.Candidate:
        """A running instance outside every group, to be attached.

        Raises:
            Refused: ``ValidationError``: unknown, not running, or in a group already.
        """
        instance = self.ec2.get_instance_by_id(instance_id)
        if instance is None:
            raise fleet.invalid(f"Invalid Instance ID(s): [{instance_id}]")
        if instance.state != "running":
            raise fleet.invalid(f"Invalid Instance ID: {instance_id}. The instance is not in the running state.")
        for record in self.records.values():
            if instance_id in record.group.instances:
                raise fleet.invalid(
                    f"The instance {instance_id} is already part of Auto Scaling group {record.group.name}."
                )
        subnet = fleet.Subnet(str(instance.subnet_id), str(instance.availability_zone))
        return fleet.Candidate(instance_id, subnet, instance.instance_type, instance.image_id)

    def tick(self) -> None:
        """Let every group act on timeouts that have passed."""
        now = self.now()
        for record in list(self.records.values()):
            if (due := record.group.next_deadline()) is not None and due <= now:
                self.perform(record, record.group.tick(now))

    def perform(self, record: GroupRecord, effects: Iterable[fleet.Effect]) -> None:
        """Apply effects of a group, and the effects that follow."""
        pending = deque(effects)
        while pending:
            match pending.popleft():
                case fleet.Launch() as launch:
                    pending.extend(self._launch(record, launch))
                case fleet.Terminate(instance_id):
                    self._terminate(record, instance_id)
        self._note_moves(record.group)

    def _note_moves(self, group: fleet.Group) -> None:
        now = self.now()
        for move in group.state_changes:
            if move.after == "Detached":
                self.detached.add(move.instance_id)
            elif not move.before:
                self.detached.discard(move.instance_id)
            self.events.append(
                Event(next(self.cloud.event_numbers), now, group.name, move.instance_id, move.before, move.after)
            )
        moves = [(move.instance_id, move.after) for move in group.state_changes]
        group.state_changes.clear()
        for follow in self.cloud.observers:
            for instance_id, state in moves:
                follow(instance_id, state)

    def resolve(self, template: fleet.Template) -> fleet.Template:
        """The template with the number of its version (``$Latest``; the default one where none is given) now."""
        version = self.ec2.get_launch_template(template.id).get_version(template.version or "$Default")
        return replace(template, version=str(version.number))

    def _launch(self, record: GroupRecord, launch: fleet.Launch) -> list[fleet.Effect]:
        group = record.group
        tags = {tag.key: tag.value for tag in record.tags.values() if tag.propagate}
        try:
            template = self.resolve(launch.template)
            reservation = self.ec2.run_instances(
                "",
                1,
                None,
                [],
                launch_template={"LaunchTemplateId": template.id, "Version": template.version},
                is_instance_type_default=True,
                instance_type="m1.small",
                region_name=self.region_name,
                subnet_id=launch.subnet.id,
                associate_public_ip=None,
                tags={"instance": {**tags, GROUP_TAG: group.name}},
                launcher=group.settings.service_linked_role
                or self.iam.make_linked_role("autoscaling.amazonaws.com").arn,
            )
        except ServiceException as error:
            group.launch_failed(launch.activity, str(error.message), self.now())
            return []
        instance = reservation.instances[0]
        kind, image, running = instance.instance_type, instance.image_id, instance.state == "running"
        effects = group.launched(launch.activity, instance.id, template, kind, image, self.now(), running=running)
        if instance.state == "terminated":
            group.died_at_launch(instance.id, instance.state_reason.message, self.now())
        return effects

    def _terminate(self, record: GroupRecord, instance_id: str) -> None:
        instance = self.ec2.get_instance_by_id(instance_id)
        if instance is not None and instance.state != "terminated":
            self.ec2.shut_down(instance)
        if instance is None or (instance.state == "terminated" and instance_id in record.group.instances):
            record.group.terminated(instance_id, self.now())
