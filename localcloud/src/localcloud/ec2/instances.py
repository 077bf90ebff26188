"""EC2 instances: their states while the machines behind them boot, run, stop and fail, and which calls each allows."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterable
from typing import Any, Protocol

from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidParameterCombination,
    OperationDisableApiStopNotPermitted,
    OperationNotPermitted4,
)
from moto.ec2.models.instances import InstanceState, MetadataOptions, StateReason

from localcloud.clock import Clock
from localcloud.ec2.tags import check_metadata_keys
from localcloud.instances import Cause, Machine
from localcloud.machines import Machines
from localcloud.strictness import Strictness

#: EC2 API, InstanceState.
CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
#: State reasons of an instance that its owner, and that itself has shut down (EC2 API, StateReason).
BY_USER = ("Client.UserInitiatedShutdown", "User initiated shutdown")
BY_ITSELF = ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
BY_ERROR = "Server.InternalError"


def set_state(instance: Any, state: str, code: str = "", message: str = "") -> None:
    """Put an instance into a state, with the reason's code and message."""
    instance._state = InstanceState(state, CODES[state])
    instance.state_reason = StateReason(f"{code}: {message}" if code else "", code)
    by_user = code == BY_USER[0]
    instance._reason = (
        f"User initiated ({utcnow():%Y-%m-%d %H:%M:%S} GMT)" if by_user else instance.state_reason.message
    )


class GroupMembership(Protocol):
    """What EC2 reports of instances to Auto Scaling."""

    def lost(self, instance_ids: Iterable[str], *, stopped: bool = False) -> None:
        """These were terminated, or only stopped."""

    def found(self, instance_ids: Iterable[str]) -> None:
        """These were started again."""


class Cloud(Protocol):
    """What EC2 needs of the world that it is in."""

    clock: Clock
    machines: Machines
    strictness: Strictness

    def delay(self, longest: float) -> float:
        """Some seconds, at most so many."""

    def groups(self, account: str, region: str) -> GroupMembership:
        """The groups of an account and region."""


class InstanceBackend:
    """Instances with a machine behind each."""

    cloud: Cloud
    #: Every instance by id.
    instances_by_id: dict[str, Any]
    #: Which image's disk a root snapshot holds.
    disks: dict[str, str]
    #: RunInstances by client token: the parameters, and the reservation.
    tokens: dict[str, tuple[dict[str, Any], Any]]
    get_multi_instances_by_id: Any

    def machine_of(self, instance: Any) -> Machine:
        """The instance as its host needs to know it."""
        backend: Any = self
        subnet = backend.get_subnet(instance.subnet_id)
        key = backend.key_pairs.get(instance.key_name)
        address = str(instance.private_ip)
        return Machine(
            id=instance.id,
            image=self.disk_of(instance.image_id),
            address=address,
            subnet_cidr=subnet.cidr_block,
            vpc_cidr=backend.vpcs[subnet.vpc_id].cidr_block,
            host_name=f"ip-{address.replace('.', '-')}",
            user_data=user_data_of(instance),
            public_keys={key.key_name: key.public_key} if key else {},
            hop_limit=instance.metadata_options.http_put_response_hop_limit,
            disk_gib=self._root_gib(instance),
        )

    def _root_gib(self, instance: Any) -> int:
        """The size of its root volume; Amazon's default where it has none."""
        root = instance.block_device_mapping.get(instance.root_device_name)
        return int(self.get_volume(root.volume_id).size) if root else 8  # type: ignore[attr-defined]

    def disk_of(self, image_id: str) -> str:
        """The image whose disk this one boots: itself, unless it was registered from a snapshot of another one."""
        image: Any = self.amis.get(image_id)  # type: ignore[attr-defined]
        root = image and next(iter(image.block_device_mappings), None)
        return self.disks.get(root["Ebs"].get("SnapshotId", ""), image_id) if root else image_id

    def launch(self, instance: Any, reservation_id: str, problem: tuple[str, str] | None) -> None:
        """Have the machine of a new instance made; with a problem (code and message) the instance ends at once."""
        instance.reservation_id = reservation_id
        set_state(instance, "pending")
        now, longest = self.cloud.clock.now(), self.cloud.strictness.credentials_seconds
        instance.credentials_at = now + self.cloud.delay(longest) if longest else now
        if problem:
            instance.terminate()
            set_state(instance, "terminated", *problem)
            instance.ended_at = utcnow()
            return
        self.cloud.machines.launch(self.machine_of(instance))

    def start_instances(self, instance_ids: list[str]) -> list[tuple[Any, Any]]:
        """StartInstances: a running one stays as it is."""
        instances = self._in_states(instance_ids, ("stopped", "running", "pending"), "started")
        before = [(instance, copy.copy(instance._state)) for instance in instances]
        for instance in instances:
            if instance.state == "stopped":
                instance.start()
                set_state(instance, "pending")
                self.show_all_tags(instance.id)  # type: ignore[attr-defined]
                self.cloud.machines.host.start(instance.id)
        return before

    def stop_instances(self, instance_ids: list[str]) -> list[tuple[Any, Any]]:
        """StopInstances: a stopped one stays as it is."""
        instances = self._in_states(instance_ids, ("running", "stopping", "stopped"), "stopped")
        for instance in instances:
            if instance.disable_api_stop is True:
                raise OperationDisableApiStopNotPermitted(instance.id)
        before = [(instance, copy.copy(instance._state)) for instance in instances]
        for instance in instances:
            if instance.state == "running":
                set_state(instance, "stopping", *BY_USER)
                self.cloud.machines.host.stop(instance.id)
        return before

    def reboot_instances(self, instance_ids: list[str]) -> list[Any]:
        """RebootInstances; EC2 shows them running throughout."""
        instances = self._in_states(instance_ids, ("running",), "rebooted")
        for instance in instances:
            self.cloud.machines.host.reboot(instance.id)
        return instances

    def terminate_instances(self, instance_ids: list[str]) -> list[tuple[Any, Any]]:
        """TerminateInstances: all or, where one of them is protected, none."""
        if not instance_ids:
            raise InvalidParameterCombination("No instances specified")
        instances = self.get_multi_instances_by_id(instance_ids)
        for instance in instances:
            if instance.disable_api_termination is True:
                raise OperationNotPermitted4(instance.id)
        before = [(instance, copy.copy(instance._state)) for instance in instances]
        for instance in instances:
            self.shut_down(instance)
        return before

    def shut_down(self, instance: Any) -> None:
        """Terminate an instance in spite of termination protection, as its group may (UG, "Termination protection")."""
        if instance.state not in ("shutting-down", "terminated"):
            set_state(instance, "shutting-down", *BY_USER)
            self.cloud.machines.host.terminate(instance.id)

    def _in_states(self, instance_ids: list[str], states: tuple[str, ...], what: str) -> list[Any]:
        instances: list[Any] = self.get_multi_instances_by_id(instance_ids)
        for instance in instances:
            if instance.state not in states:
                raise EC2ClientError(
                    "IncorrectInstanceState",
                    f"The instance '{instance.id}' is not in a state from which it can be {what}.",
                )
        return instances

    # --- reports of machines ----------------------------------------------------------------------------------------

    def switched_on(self, instance: Any) -> bool:
        """The machine runs; returns whether the instance was pending."""
        if instance.state != "pending":
            return False
        set_state(instance, "running")
        return True

    def switched_off(self, instance: Any, cause: Cause, reason: str) -> None:
        """The machine is off: stopped or terminated by EC2, shut down from within, or failed, which terminates it."""
        if cause == "stopped" and instance.state != "shutting-down":
            why = BY_USER if instance.state == "stopping" else BY_ITSELF
            if why == BY_ITSELF and instance.instance_initiated_shutdown_behavior == "terminate":
                set_state(instance, "shutting-down", *why)
                self.cloud.machines.host.terminate(instance.id)
                return
            instance.stop()
            set_state(instance, "stopped", *why)
        elif cause != "stopped":
            why = (BY_ERROR, reason) if cause == "failed" else _why(instance)
            set_state(instance, "shutting-down", *why)  # the root volume of a running one is not detached
            instance.terminate()
            set_state(instance, "terminated", *why)
            instance.ended_at = utcnow()

    def image_made(self, image_id: str, problem: str | None) -> None:
        """A pending image can be booted, or has failed."""
        image: Any = self.amis.get(image_id)  # type: ignore[attr-defined]
        if image is not None and image.state == "pending":
            image.state = "failed" if problem else "available"
            image.state_reason = StateReason(problem, "Client.InternalError") if problem else None


def _why(instance: Any) -> tuple[str, str]:
    """Why an instance is being shut down, as it shows."""
    reason = instance.state_reason
    return reason.code or BY_ERROR, reason.message.removeprefix(f"{reason.code}: ")


def user_data_of(instance: Any) -> bytes | None:
    """An instance's user data, decoded."""
    return base64.b64decode(str(instance.user_data), validate=True) if instance.user_data else None


class InstanceResponse(BaseResponse):
    """The actions on instances that take their time here, unlike in moto."""

    ec2_backend: Any
    error_on_dryrun: Any

    def run_instances(self) -> ActionResult:
        """RunInstances, once for each client token (EC2 API, "Ensuring idempotency")."""
        tokens, token = self.ec2_backend.tokens, self._get_param("ClientToken")
        parameters = {name: value for name, value in self._get_params().items() if name != "ClientToken"}
        if token in tokens:
            before, made = tokens[token]
            if before != parameters:
                raise EC2ClientError(
                    "IdempotentParameterMismatch",
                    "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
                )
            return ActionResult(made)
        least, most = self._get_int_param("MinCount", 1), self._get_int_param("MaxCount", 1)
        if not 1 <= least <= most:
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Value ({least}) for parameter minCount is invalid. It is 1 to maxCount, {most}.",
            )
        self.params = {**self.params, "MinCount": most}  # moto launches the least
        result: ActionResult = super().run_instances()  # type: ignore[misc]
        reservation: Any = result.result
        self._give_profile(reservation.instances[1:])
        if token:
            tokens[token] = (parameters, reservation)
        return result

    def _give_profile(self, instances: list[Any]) -> None:
        """Let more instances have the call's instance profile; moto gives it to the first only."""
        name, arn = self._get_param("IamInstanceProfile.Name"), self._get_param("IamInstanceProfile.Arn")
        for instance in instances if name or arn else ():
            self.ec2_backend.associate_iam_instance_profile(
                instance.id, iam_instance_profile_name=name, iam_instance_profile_arn=arn
            )

    def start_instances(self) -> ActionResult:
        """StartInstances, with a report to the groups."""
        result: ActionResult = super().start_instances()  # type: ignore[misc]
        self._groups.found(self._get_param("InstanceIds", []))
        return result

    def stop_instances(self) -> ActionResult:
        """StopInstances; to a group a stopped member is an unhealthy one."""
        result: ActionResult = super().stop_instances()  # type: ignore[misc]
        self._groups.lost(self._get_param("InstanceIds", []), stopped=True)
        return result

    def modify_instance_metadata_options(self) -> ActionResult:
        """ModifyInstanceMetadataOptions: what is not named stays (moto forgets it)."""
        self.error_on_dryrun()
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        before: MetadataOptions = instance.metadata_options
        if self._get_param("InstanceMetadataTags") == "enabled":
            check_metadata_keys(self.ec2_backend.tags.get(instance.id, {}))
        instance.metadata_options = MetadataOptions(
            {
                "HttpTokens": self._get_param("HttpTokens", before.http_tokens),
                "HttpPutResponseHopLimit": self._get_int_param(
                    "HttpPutResponseHopLimit", before.http_put_response_hop_limit
                ),
                "HttpEndpoint": self._get_param("HttpEndpoint", before.http_endpoint),
                "HttpProtocolIpv6": self._get_param("HttpProtocolIpv6", before.http_protocol_ipv6),
                "InstanceMetadataTags": self._get_param("InstanceMetadataTags", before.instance_metadata_tags),
            }
        )
        return ActionResult({"InstanceId": instance.id, "InstanceMetadataOptions": instance.metadata_options})

    def replace_iam_instance_profile_association(self) -> ActionResult:
        """ReplaceIamInstanceProfileAssociation, which DescribeInstances shows, too (moto forgets it there)."""
        result: ActionResult = super().replace_iam_instance_profile_association()  # type: ignore[misc]
        made = self.ec2_backend.iam_instance_profile_associations
        for id, association in made.items():
            if association.association_id == self._get_param("AssociationId"):
                profile = {"Arn": association.iam_instance_profile.arn, "Id": association.iam_instance_profile.id}
                self.ec2_backend.modify_instance_attribute(id, "iam_instance_profile", profile)
        return result

    def delete_snapshot(self) -> ActionResult:
        """DeleteSnapshot: with the last snapshot of a disk, the disk is deleted."""
        super().delete_snapshot()  # type: ignore[misc]
        disks = self.ec2_backend.disks
        disk = disks.pop(self._get_param("SnapshotId"), None)
        if disk is not None and disk not in disks.values():
            self.ec2_backend.cloud.machines.drop_image(disk)
        return EmptyResult()

    @property
    def _groups(self) -> GroupMembership:
        cloud: Cloud = self.ec2_backend.cloud
        return cloud.groups(self.current_account, self.region)
