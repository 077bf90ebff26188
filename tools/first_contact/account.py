"""An AWS account in which first contact makes a few things with names of its own, and deletes them all."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import re
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tools.first_contact.probe import NotLookedAt

T = TypeVar("T")
NAME = "gh-first-contact"
TAG = "gh-first-contact"
REPORT = Path(__file__).with_name("report.sh")
INSTANCE_TYPE = "t3.micro"  # Nitro, so its console can be read while it runs; dnf needs more memory than a nano has
#: Codes that mean that something is not there, or not any more.
ABSENT = re.compile(r"NotFound|NoSuchEntity|Malformed$|ResourceNotFound|InvalidInstanceID")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def code(error: ClientError) -> str:
    """AWS's error code."""
    return str(error.response["Error"]["Code"])


def text(error: ClientError) -> str:
    """AWS's error code and words."""
    return f"{code(error)}: {error.response['Error'].get('Message', '')}"


class Made(NamedTuple):
    """Something that was made, and how it goes."""

    what: str
    delete: Callable[[], object]


class Account:
    """The account, what was made in it, and waiting.

    Args:
        region: the region.
        console: an instance's console output.
        poll: seconds between two looks.
        patience: how many times as long to wait as AWS needs, about; less than 1 on localcloud.
        subnets: where instances are launched; by default the default VPC's.
    """

    def __init__(
        self,
        region: str,
        *,
        console: Callable[[Account, str], str] | None = None,
        poll: float = 5.0,
        patience: float = 1.0,
        subnets: tuple[str, ...] = (),
    ) -> None:
        self.region, self.poll, self.patience = region, poll, patience
        self.run = secrets.token_hex(3)
        self.name = f"{NAME}-{self.run}"
        self.made: list[Made] = []
        self.log: list[dict[str, str]] = []
        self._console, self._subnets = console or console_output, subnets
        self._no_group = ""
        self._session: Any = boto3.session.Session()  # boto3's own keeps the credentials that it found first

    @functools.cache  # noqa: B019  # one account for each process
    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client. Throttled calls are tried again, but for the group's bucket (`retries=1`)."""
        tries = int(options.pop("retries", 6))
        make: Any = self._session.client
        config = Config(retries={"total_max_attempts": tries, "mode": "standard"}, user_agent_extra=NAME)
        return make(service, region_name=options.pop("region", self.region), config=config, **options)

    @functools.cached_property
    def id(self) -> str:
        """The account's number. Raises NotLookedAt."""
        return str(self.caller["Account"])

    @functools.cached_property
    def caller(self) -> Mapping[str, Any]:
        """GetCallerIdentity."""
        return dict(self.client("sts").get_caller_identity())

    @functools.cached_property
    def subnets(self) -> tuple[str, ...]:
        """Subnets for instances. Raises NotLookedAt."""
        if self._subnets:
            return self._subnets
        default = [{"Name": "default-for-az", "Values": ["true"]}]
        found = self.client("ec2").describe_subnets(Filters=default)["Subnets"]
        if not found:
            raise NotLookedAt(f"{self.region} has no default subnets: name one with --subnet")
        return tuple(sorted(subnet["SubnetId"] for subnet in found)[:2])

    @functools.cached_property
    def newest_image(self) -> Mapping[str, Any]:
        """What packer/source.pkr.hcl selects. Raises NotLookedAt."""
        names = [{"Name": "name", "Values": ["al2023-ami-2023.*-kernel-6.1-x86_64"]}]
        found = self.client("ec2").describe_images(Owners=["137112412989"], Filters=names)["Images"]
        if not found:
            raise NotLookedAt("no image of 137112412989 has such a name")
        return dict(max(found, key=lambda image: image["CreationDate"]))

    # --- what is made ---------------------------------------------------------------------------------------------

    def tags(self) -> list[dict[str, str]]:
        """The tags of everything that is made."""
        return [{"Key": TAG, "Value": self.run}, {"Key": "Name", "Value": self.name}]

    def specification(self, *kinds: str) -> list[dict[str, Any]]:
        """TagSpecifications for these types of resources."""
        return [{"ResourceType": kind, "Tags": self.tags()} for kind in kinds]

    def will_delete(self, what: str, delete: Callable[[], object]) -> None:
        """Record what is being made; call it before the call that makes it, so that no interrupt comes between."""
        self.made.append(Made(what, delete))

    def clean_up(self) -> list[str]:
        """Delete everything, the latest first; what could not be deleted."""
        left = []
        while self.made:
            one = self.made[-1]
            try:
                self.until(one.what, functools.partial(gone, one.delete), seconds=300)
                self.log.append({"made": one.what, "deleted": "yes"})
            except (ClientError, BotoCoreError, NotLookedAt, TimeoutError) as error:
                left.append(f"{one.what}: {error}")
                self.log.append({"made": one.what, "deleted": f"no: {error}"})
            self.made.pop()
        return left

    # --- waiting --------------------------------------------------------------------------------------------------

    def until(self, what: str, find: Callable[[], T], *, seconds: float) -> T:
        """Call until the result is true. Raises NotLookedAt after so many seconds (of AWS)."""
        deadline = time.monotonic() + max(10.0, seconds * self.patience)
        while not (found := find()):
            if time.monotonic() > deadline:
                raise NotLookedAt(f"{what}: not within {seconds:g} s")
            time.sleep(self.poll)
        return found

    def seconds_until(self, what: str, find: Callable[[], object], *, seconds: float) -> float:
        """How long it took."""
        began = time.monotonic()
        self.until(what, find, seconds=seconds)
        return round(time.monotonic() - began, 1)

    def console(self, instance: str) -> list[tuple[float, str, str]]:
        """What report.sh has written: (time, name, value)."""
        found = re.findall(r"FIRST-CONTACT (\d+) (\S+) ([^\r\n]+)", self._console(self, instance))
        return [(float(at), name, value.strip()) for at, name, value in found]

    def said(self, instance: str, name: str) -> list[str]:
        """The values that an instance has written under a name, in order."""
        return [value for _at, written, value in self.console(instance) if written == name]

    # --- the group ------------------------------------------------------------------------------------------------

    @functools.cached_property
    def template(self) -> str:
        """The name of a launch template for instances that report."""
        ec2 = self.client("ec2")
        self.will_delete(
            f"launch template {self.name}", lambda: ec2.delete_launch_template(LaunchTemplateName=self.name)
        )
        ec2.create_launch_template(
            LaunchTemplateName=self.name,
            TagSpecifications=self.specification("launch-template"),
            LaunchTemplateData=self.template_data(),
        )
        return self.name

    def template_data(self, **more: Any) -> dict[str, Any]:
        """LaunchTemplateData of an instance that reports."""
        return {
            "ImageId": self.newest_image["ImageId"],
            "InstanceType": INSTANCE_TYPE,
            "UserData": base64.b64encode(REPORT.read_bytes()).decode(),
            "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
            "TagSpecifications": self.specification("instance", "volume"),
            **more,
        }

    @functools.cached_property
    def group(self) -> str:
        """A group without instances, with a termination hook and the policy that retains what is abandoned.

        Raises NotLookedAt if it cannot be made; the next call does not try again.
        """
        if self._no_group:
            raise NotLookedAt(self._no_group)
        try:
            self._make_group()
        except (ClientError, NotLookedAt) as reason:
            self._no_group = f"no group: {reason}"
            raise NotLookedAt(self._no_group) from None
        return self.name

    def _make_group(self) -> None:
        autoscaling = self.client("autoscaling")
        template = self.template
        self.will_delete(f"Auto Scaling group {self.name}", self._delete_group)
        self.until_accepted(
            lambda: autoscaling.create_auto_scaling_group(
                AutoScalingGroupName=self.name,
                LaunchTemplate={"LaunchTemplateName": template, "Version": "1"},
                MinSize=0,
                MaxSize=2,
                DesiredCapacity=0,
                VPCZoneIdentifier=",".join(self.subnets),
                InstanceLifecyclePolicy={"RetentionTriggers": {"TerminateHookAbandon": "retain"}},
                LifecycleHookSpecificationList=[
                    {
                        "LifecycleHookName": "terminating",
                        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
                        "HeartbeatTimeout": 600,
                        "DefaultResult": "CONTINUE",
                    }
                ],
                Tags=[{**tag, "PropagateAtLaunch": False} for tag in self.tags()],
            )
        )

    def until_accepted(self, call: Callable[[], object], *, seconds: float = 120) -> list[str]:
        """Call until AWS accepts it, where it first refuses with what passes; those refusals.

        Raises ClientError for another refusal, and NotLookedAt.
        """
        from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import refusals

        met: list[str] = []

        def accepted() -> bool:
            try:
                call()
            except ClientError as error:
                if not refusals.passing(text(error)) and not refusals.passing(code(error)):
                    raise
                met.append(text(error))
                return False
            return True

        try:
            self.until("what was made a moment ago is visible", accepted, seconds=seconds)
        except NotLookedAt as reason:
            raise NotLookedAt(f"{reason}: {met[-1]}") from None
        return met

    def describe_group(self) -> Mapping[str, Any]:
        """The group as DescribeAutoScalingGroups shows it; empty if there is none."""
        call = self.client("autoscaling").describe_auto_scaling_groups
        found = call(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        return dict(found[0]) if found else {}

    def states(self) -> dict[str, str]:
        """Instance -> lifecycle state."""
        return {one["InstanceId"]: one["LifecycleState"] for one in self.describe_group().get("Instances", [])}

    def in_service(self) -> str:
        """An instance of the group in service, launched if there is none."""
        self.client("autoscaling").set_desired_capacity(AutoScalingGroupName=self.group, DesiredCapacity=1)

        def found() -> str:
            return next((one for one, state in self.states().items() if state == "InService"), "")

        return self.until("an instance in service", found, seconds=300)

    def _delete_group(self) -> None:
        """Delete the group with all that it has, and wait for its end. Raises ClientError."""
        autoscaling = self.client("autoscaling")
        if not self.describe_group():
            return
        with contextlib.suppress(ClientError):
            autoscaling.delete_warm_pool(AutoScalingGroupName=self.name, ForceDelete=True)
        with contextlib.suppress(ClientError):
            autoscaling.update_auto_scaling_group(
                AutoScalingGroupName=self.name,
                MinSize=0,
                DesiredCapacity=0,
                InstanceLifecyclePolicy={"RetentionTriggers": {"TerminateHookAbandon": "terminate"}},
            )
        for instance, state in self.states().items():
            if state == "Terminating:Retained":
                with contextlib.suppress(ClientError):
                    autoscaling.terminate_instance_in_auto_scaling_group(
                        InstanceId=instance, ShouldDecrementDesiredCapacity=False
                    )
        autoscaling.delete_auto_scaling_group(AutoScalingGroupName=self.name, ForceDelete=True)
        self.until("the group is gone", lambda: not self.describe_group(), seconds=300)


def gone(delete: Callable[[], object]) -> bool:
    """Whether something is deleted now; False: it is still in use. Raises ClientError."""
    try:
        delete()
    except ClientError as error:
        if ABSENT.search(code(error)):
            return True
        if code(error) in ("DeleteConflict", "DependencyViolation", "ScalingActivityInProgress", "ResourceInUse"):
            return False
        raise
    return True


def console_output(account: Account, instance: str) -> str:
    """GetConsoleOutput, of a running Nitro instance; botocore decodes it."""
    return str(account.client("ec2").get_console_output(InstanceId=instance, Latest=True).get("Output", ""))


@contextlib.contextmanager
def cleaned_up(account: Account) -> Iterator[None]:
    """Delete everything at the end of the block, however it ends. A further interrupt does not stop that."""

    def waits(_number: int, _frame: object) -> None:
        print("first-contact: still deleting what was made", file=sys.stderr)

    def interrupted(_number: int, _frame: object) -> None:
        for number in before:
            signal.signal(number, waits)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, interrupted)
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, waits)
        try:
            if account.made:
                print(f"first-contact: deleting {', '.join(one.what for one in account.made)}", file=sys.stderr)
            for line in account.clean_up():
                print(f"first-contact: LEFT: {line} (python -m tools.first_contact --clean)", file=sys.stderr)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def masked(document: Mapping[str, Any], account: str) -> str:
    """JSON without the account's number, so that it can be committed."""
    return json.dumps(document, indent=2, sort_keys=False).replace(account, "ACCOUNT") + "\n"
