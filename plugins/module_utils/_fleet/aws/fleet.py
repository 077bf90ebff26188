# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS's answers -> a fleet as it stands: at most 15 calls besides paging, whatever the fleet's size. Asks through a given `call`, knows no client."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import prerequisites as read
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare import (
    autoscaling_group_settings,
    ec2_launch_template,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import Call, CannotAsk
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_permissions as policies
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Fleet,
    Group,
    Hook,
    LogGroup,
    Machine,
    Member,
    Permissions,
    Profile,
    Refresh,
    SecurityGroup,
    Template,
    Unread,
    WorkerSecret,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Image, Subnet

Settings = Mapping[str, Any]
ACTIVITIES = 200  # two pages: what is under way stands first
REFRESHES = 5
IMAGES_IN_A_FILTER = 200  # EC2's "Filtering resources": 200 values
WORLD = ("0.0.0.0/0", "::/0")
ECR_IMAGE = re.compile(r"(\d{12})\.dkr\.ecr\.[^/]+/([^@:]+)(?::([^@]+))?(?:@(sha256:[0-9a-f]{64}))?")


def observe(start: Callable[..., read.Answer], call: Call, s: Settings) -> Fleet:
    """Ask for everything at once. What nobody may ask for, or what AWS does not answer, is Unread with the reason; nothing is raised."""
    asked = {
        part.__name__: start(_guarded, part, call, s)
        for part in (
            *(
                group,
                hooks,
                template,
                machines,
                images,
                profile,
                permissions,
                security_groups,
                secret,
                worker_image,
                log_group,
                activities,
            ),
            *(refreshes, subnets, key_pairs, account),
        )
    }
    return Fleet(**{name: answer.result() for name, answer in asked.items()})


def _guarded(part: Callable[[Call, Settings], Any], call: Call, s: Settings) -> Any:
    try:
        return part(call, s)
    except CannotAsk as problem:
        return Unread(str(problem))


def _at(moment: Any) -> float:
    """Seconds since the epoch of what botocore made of a moment; 0 for none. Logs and ECR speak in numbers."""
    return 0.0 if not moment else moment.timestamp() if hasattr(moment, "timestamp") else float(moment)


def account(call: Call, s: Settings) -> str | None:
    """The account that holds the group; where there is none, the caller's."""
    found = group(call, s)
    return found.arn.split(":")[4] if found else read.caller(call).account


def group(call: Call, s: Settings) -> Group | None:
    raw = autoscaling_group_settings.RESOURCE.read(call, {"name": s["fleet_group_name"]})
    if raw is None:
        return None
    used = raw.get("LaunchTemplate") or {}
    kept = raw.get("InstanceLifecyclePolicy", {}).get("RetentionTriggers", {}).get("TerminateHookAbandon")
    return Group(
        name=raw["AutoScalingGroupName"],
        arn=raw["AutoScalingGroupARN"],
        min_size=raw["MinSize"],
        max_size=raw["MaxSize"],
        desired=raw["DesiredCapacity"],
        template=used.get("LaunchTemplateName", ""),
        version=used.get("Version", ""),
        subnets=frozenset(filter(None, raw.get("VPCZoneIdentifier", "").split(","))),
        settings=raw,
        suspended=frozenset(p["ProcessName"] for p in raw.get("SuspendedProcesses", [])),
        metrics=bool(raw.get("EnabledMetrics")),
        retains=kept == "retain",
        members=tuple(
            Member(
                id=i["InstanceId"],
                state=i["LifecycleState"],
                health=i["HealthStatus"],
                zone=i["AvailabilityZone"],
                type=i.get("InstanceType", ""),
                version=(i.get("LaunchTemplate") or {}).get("Version", ""),
                protected=bool(i.get("ProtectedFromScaleIn")),
            )
            for i in sorted(raw["Instances"], key=lambda i: i["InstanceId"])
        ),
    )


def hooks(call: Call, s: Settings) -> tuple[Hook, ...]:
    if group(call, s) is None:
        return ()
    found = call(
        "autoscaling", "describe_lifecycle_hooks", "LifecycleHooks", AutoScalingGroupName=s["fleet_group_name"]
    )
    return tuple(
        Hook(
            name=h["LifecycleHookName"],
            transition=h["LifecycleTransition"],
            timeout=h["HeartbeatTimeout"],
            ceiling=h["GlobalTimeout"],
            result=h["DefaultResult"],
        )
        for h in found
    )


def template(call: Call, s: Settings) -> Template | None:
    """The version that the group uses; without a group, the latest of the fleet's template."""
    used = group(call, s)
    name = used.template if used and used.template else s["fleet_launch_template_name"]
    wanted = used.version if used and used.version else "$Latest"
    absent = (*ec2_launch_template.ABSENT, "InvalidLaunchTemplateId.VersionNotFound")
    found = call(
        "ec2",
        "describe_launch_template_versions",
        "LaunchTemplateVersions",
        absent=absent,
        LaunchTemplateName=name,
        Versions=sorted({"$Latest", "$Default", wanted}),
    )
    if not found:
        return None
    latest = max(v["VersionNumber"] for v in found)
    number = latest if wanted == "$Latest" else next((v["VersionNumber"] for v in found if v.get("DefaultVersion")), 0)
    number = int(wanted) if wanted.isdigit() else number
    data = next((v["LaunchTemplateData"] for v in found if v["VersionNumber"] == number), None)
    if data is None:
        return None
    carried, cards = data.get("IamInstanceProfile") or {}, data.get("NetworkInterfaces") or []
    told, problem = _agent_conf(data.get("UserData", ""))
    return Template(
        number=number,
        latest=latest,
        image=data.get("ImageId", ""),
        type=data.get("InstanceType", ""),
        key=data.get("KeyName", ""),
        profile=carried.get("Name") or carried.get("Arn", "").rpartition("/")[2],
        tokens=(data.get("MetadataOptions") or {}).get("HttpTokens", "optional"),
        unencrypted=tuple(
            d.get("DeviceName", "?")
            for d in data.get("BlockDeviceMappings", [])
            if d.get("Ebs") is not None and str(d["Ebs"].get("Encrypted", False)).lower() != "true"
        ),
        security_groups=tuple(
            sorted({*data.get("SecurityGroupIds", []), *(g for card in cards for g in card.get("Groups", []))})
        ),
        agent=told,
        agent_problem=problem,
    )


def _agent_conf(user_data: str) -> tuple[dict[str, str], str]:
    """(agent.conf as user data writes it, why there is none)."""
    if not user_data:
        return {}, "there is no user data"
    try:
        text = base64.b64decode(user_data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return {}, "the user data is no base64 of a text"
    if not text.startswith("#cloud-config") or "/etc/ghosthands/agent.conf" not in text:
        return {}, "the user data does not write /etc/ghosthands/agent.conf"
    # As agent_conf.user_data writes it: the lines below `content: |`, KEY=value.
    lines = [line.strip() for line in text.partition("content: |")[2].splitlines()]
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line)), ""


def machines(call: Call, s: Settings) -> dict[str, Machine]:
    """EC2's side of the group's instances. The tag is Auto Scaling's own, and stays on a retained one."""
    wanted = [{"Name": "tag:aws:autoscaling:groupName", "Values": [s["fleet_group_name"]]}]
    found = call("ec2", "describe_instances", "Reservations", Filters=wanted)
    return {
        i["InstanceId"]: Machine(
            id=i["InstanceId"],
            state=i["State"]["Name"],
            image=i["ImageId"],
            type=i["InstanceType"],
            launched=_at(i["LaunchTime"]),
            profile=bool(i.get("IamInstanceProfile")),
        )
        for r in found
        for i in r["Instances"]
        if i["State"]["Name"] != "terminated"
    }


def images(call: Call, s: Settings) -> dict[str, Image]:
    """The images that the template and the instances name, as far as they are there."""
    used = template(call, s)
    wanted = sorted({m.image for m in machines(call, s).values()} | ({used.image} if used and used.image else set()))
    if not wanted:
        return {}
    if len(wanted) > IMAGES_IN_A_FILTER:
        wanted = sorted({used.image} if used else set()) + wanted[: IMAGES_IN_A_FILTER - 1]
    found = call(
        "ec2", "describe_images", "Images", Filters=[{"Name": "image-id", "Values": wanted}], IncludeDeprecated=True
    )
    return {i.id: i for i in map(read.image_of, found)}


def profile(call: Call, s: Settings) -> Profile | None:
    name = s["fleet_instance_profile_name"]
    raw = call("iam", "get_instance_profile", "InstanceProfile", absent=("NoSuchEntity",), InstanceProfileName=name)
    if raw is None:
        return None
    role: Mapping[str, Any] = next(iter(raw["Roles"]), {})
    return Profile(name, role.get("RoleName", ""), role.get("Arn", ""), role.get("AssumeRolePolicyDocument") or {})


def permissions(call: Call, s: Settings) -> Permissions | None:
    """By IAM's simulator; where the caller may not ask it, by our reading of the role's own policy."""
    carried, there, hidden = profile(call, s), group(call, s), secret(call, s)
    if carried is None or not carried.role or there is None:
        return None
    _arn, partition, _service, region, owner, *_rest = there.arn.split(":")
    secret_arn = (
        hidden.arn if hidden else f"arn:{partition}:secretsmanager:{region}:{owner}:secret:{s['fleet_secret_name']}-any"
    )
    wanted = policies.needs(
        there.arn, owner, partition, region, s["fleet_repository_name"], secret_arn, s["fleet_log_group_name"]
    )
    try:
        results = call(
            "iam",
            "simulate_principal_policy",
            "EvaluationResults",
            PolicySourceArn=carried.role_arn,
            ActionNames=[need.action for need in wanted],
            ResourceArns=sorted({need.resource for need in wanted}),
        )
        return Permissions("IAM's policy simulator", policies.simulated(results, wanted))
    except CannotAsk:
        document = call(
            "iam",
            "get_role_policy",
            "PolicyDocument",
            absent=("NoSuchEntity",),
            RoleName=carried.role,
            PolicyName=s["fleet_policy_name"],
        )
        said = f"a reading of {s['fleet_policy_name']} alone, since IAM's policy simulator was not to be asked"
        return Permissions(said, policies.denied([document or {}], wanted))


def security_groups(call: Call, s: Settings) -> dict[str, SecurityGroup]:
    used = template(call, s)
    if used is None or not used.security_groups:
        return {}
    wanted = [{"Name": "group-id", "Values": list(used.security_groups)}]
    found = call("ec2", "describe_security_groups", "SecurityGroups", Filters=wanted)
    return {
        g["GroupId"]: SecurityGroup(
            g["GroupId"], g["GroupName"], tuple(_door(p) for p in g["IpPermissions"] if _whole_world(p))
        )
        for g in found
    }


def _whole_world(rule: Mapping[str, Any]) -> bool:
    sources = [r.get("CidrIp") for r in rule.get("IpRanges", [])] + [
        r.get("CidrIpv6") for r in rule.get("Ipv6Ranges", [])
    ]
    return any(source in WORLD for source in sources)


def _door(rule: Mapping[str, Any]) -> str:
    if rule["IpProtocol"] == "-1":
        return "every port"
    first, last = rule.get("FromPort"), rule.get("ToPort")
    return f"{rule['IpProtocol']} {first}" if first == last else f"{rule['IpProtocol']} {first} to {last}"


def secret(call: Call, s: Settings) -> WorkerSecret | None:
    """What the secret is, never what it says (DescribeSecret)."""
    raw = call(
        "secretsmanager", "describe_secret", absent=("ResourceNotFoundException",), SecretId=s["fleet_secret_name"]
    )
    if raw is None:
        return None
    return WorkerSecret(
        raw["ARN"], bool(raw.get("DeletedDate")), _at(raw.get("LastChangedDate") or raw.get("CreatedDate"))
    )


def worker_image(call: Call, s: Settings) -> str | None:
    """The digest of the image that instances are told to run; "" where that is in no repository of this account."""
    used = template(call, s)
    there = ECR_IMAGE.fullmatch(used.agent.get("IMAGE", "")) if used else None
    if there is None or there[1] != account(call, s):
        return ""
    wanted = {"imageDigest": there[4]} if there[4] else {"imageTag": there[3] or "latest"}
    absent = ("ImageNotFoundException", "RepositoryNotFoundException")
    found = call("ecr", "describe_images", "imageDetails", absent=absent, repositoryName=there[2], imageIds=[wanted])
    return str(found[0]["imageDigest"]) if found else None


def log_group(call: Call, s: Settings) -> LogGroup | None:
    found = call(
        "logs",
        "describe_log_streams",
        "logStreams",
        absent=("ResourceNotFoundException",),
        logGroupName=s["fleet_log_group_name"],
        orderBy="LastEventTime",
        descending=True,
        PaginationConfig={"MaxItems": 1, "PageSize": 1},
    )
    if found is None:
        return None
    return LogGroup(s["fleet_log_group_name"], max((_heard(stream) for stream in found), default=0.0) / 1000)


def _heard(stream: Mapping[str, Any]) -> float:
    # lastEventTimestamp lags by up to an hour (API_LogStream); the ingestion time does not.
    return float(max(stream.get("lastEventTimestamp", 0), stream.get("lastIngestionTime", 0)))


def activities(call: Call, s: Settings) -> tuple[Activity, ...]:
    if group(call, s) is None:
        return ()
    page = {"MaxItems": ACTIVITIES, "PageSize": 100}
    found = call(
        "autoscaling",
        "describe_scaling_activities",
        "Activities",
        AutoScalingGroupName=s["fleet_group_name"],
        PaginationConfig=page,
    )
    return tuple(
        Activity(
            status=a["StatusCode"],
            description=a.get("Description", ""),
            message=a.get("StatusMessage", ""),
            began=_at(a["StartTime"]),
            ended=_at(a.get("EndTime")),
            instance=next(iter(re.findall(r"\bi-[0-9a-f]{8,17}\b", a.get("Description", ""))), ""),
        )
        for a in found
    )


def refreshes(call: Call, s: Settings) -> tuple[Refresh, ...]:
    if group(call, s) is None:
        return ()
    found = call(
        "autoscaling",
        "describe_instance_refreshes",
        "InstanceRefreshes",
        AutoScalingGroupName=s["fleet_group_name"],
        MaxRecords=REFRESHES,
    )
    return tuple(
        Refresh(
            r["InstanceRefreshId"],
            r["Status"],
            r.get("StatusReason", ""),
            int(r.get("PercentageComplete", 0)),
            _at(r.get("StartTime")),
        )
        for r in found
    )


def subnets(call: Call, s: Settings) -> tuple[Subnet, ...]:
    """The subnets that the group uses, as far as they are there."""
    there = group(call, s)
    if there is None or not there.subnets:
        return ()
    wanted = [{"Name": "subnet-id", "Values": sorted(there.subnets)}]
    found = call("ec2", "describe_subnets", "Subnets", Filters=wanted)
    return tuple(sorted((read.subnet_of(n) for n in found), key=lambda n: (n.zone, n.id)))


def key_pairs(call: Call, s: Settings) -> frozenset[str]:
    """The key pair that the template names, if it is there."""
    used = template(call, s)
    if used is None or not used.key:
        return frozenset()
    found = call("ec2", "describe_key_pairs", "KeyPairs", absent=("InvalidKeyPair.NotFound",), KeyNames=[used.key])
    return frozenset(k["KeyName"] for k in found or [])
