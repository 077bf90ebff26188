# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for a fleet's variables that an argument spec cannot express. Pure.

Each problem is one sentence: the variable, what is wrong, and what to write instead.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.internet import is_internet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.network import DOORS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.ownership import KEY

Settings = Mapping[str, Any]

HEARTBEAT_SECONDS = (30, 7200)  # PutLifecycleHook, HeartbeatTimeout: "The valid range is from 30 to 7200 seconds"
# "The maximum is 172800 seconds (48 hours) or 100 times HeartbeatTimeout, whichever is smaller"
GLOBAL_TIMEOUT_SECONDS = 48 * 3600
PROCESSES = (  # SuspendProcesses
    "Launch Terminate AddToLoadBalancer AlarmNotification AZRebalance HealthCheck InstanceRefresh ReplaceUnhealthy "
    "ScheduledActions"
).split()
BURSTABLE = ("t2.", "t3.", "t3a.", "t4g.")  # EC2 User Guide, "Burstable performance instances"
TERMINATION_POLICIES = (  # TerminationPolicies of CreateAutoScalingGroup
    "Default OldestInstance NewestInstance OldestLaunchConfiguration OldestLaunchTemplate ClosestToNextInstanceHour "
    "AllocationStrategy"
).split()
# Volume type -> least and most IOPS, and IOPS per GiB (EBS User Guide, "Amazon EBS volume types").
IOPS = {"gp3": (3000, 80000, 500), "io1": (100, 64000, 50), "io2": (100, 256000, 1000)}
GP3_THROUGHPUT = (125, 2000)  # MiB/s, and at most 0.25 for each of the volume's IOPS
# EC2 User Guide, "View tags for your EC2 instances using instance metadata"
METADATA_TAG = r"(?!\.{1,2}$|_index$)[A-Za-z0-9+=.,_:@-]+"


INSTANCE = r"(i-([0-9a-f]{8}|[0-9a-f]{17}))?"


class Format(NamedTuple):
    """What AWS accepts as a value."""

    pattern: str
    """A regular expression for the whole value."""
    description: str
    """The same for an operator: what to write."""


# Memory limits of the services -> the least, in MiB. The browser's /dev/shm counts into the worker's, and is 1 GB in
# the image's compose file. The agent has the same ones (agent/src/ghosthands_agent/settings.py).
LEAST_MEMORY = {"fleet_worker_memory": 1024, "fleet_api_memory": 64, "fleet_deploy_memory": 64}

# Variable -> format. The limits are those of the API that takes the value (botocore's service models, and the pages
# that they cite).
FORMATS = {
    "fleet_name": Format(
        r"[A-Za-z][A-Za-z0-9-]{0,31}", "a letter, then letters, digits and hyphens, 32 characters at most"
    ),
    "fleet_account_id": Format(r"(\d{12})?", "12 digits, or empty"),
    "fleet_endpoint_url": Format(
        r"(https?://[^\s/]+/?)?", "an address such as http://127.0.0.1:5566, or empty for AWS's own"
    ),
    "fleet_vpc_id": Format(
        r"(vpc-([0-9a-f]{8}|[0-9a-f]{17}))?", "an id such as vpc-0123456789abcdef0, or empty for the default VPC"
    ),
    "fleet_key_name": Format(
        r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?|", "1 to 255 printable ASCII characters, or empty for none"
    ),
    "fleet_key_public": Format(
        r"((ssh-ed25519|ssh-rsa) [A-Za-z0-9+/=]+( [^\n]*)?\n?)?",
        "one line that starts with ssh-ed25519 or ssh-rsa, or empty",
    ),
    "fleet_repository_name": Format(
        r"(?=.{2,256}$)(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*",
        "2 to 256 lower-case letters, digits, and - _ . / between them",
    ),
    "fleet_secret_name": Format(r"[A-Za-z0-9/_+=.@-]{1,512}", "1 to 512 letters, digits and / _ + = . @ -"),
    "fleet_secret_scope": Format(
        r"[A-Za-z0-9/_+=.@-]{3,}\*?", "a secret's name or the beginning of one (3 characters at least) and a *"
    ),
    "fleet_log_group_name": Format(r"[A-Za-z0-9_/.#-]{1,512}", "1 to 512 letters, digits and _ - / . #"),
    "fleet_role_name": Format(r"[\w+=,.@-]{1,64}", "1 to 64 letters, digits and _ + = , . @ -"),
    "fleet_policy_name": Format(r"[\w+=,.@-]{1,128}", "1 to 128 letters, digits and _ + = , . @ -"),
    "fleet_instance_profile_name": Format(r"[\w+=,.@-]{1,128}", "1 to 128 letters, digits and _ + = , . @ -"),
    "fleet_permissions_boundary_arn": Format(
        r"(arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]{1,512})?",
        "an ARN such as arn:aws:iam::123456789012:policy/name, or empty",
    ),
    "fleet_security_group_name": Format(
        r"(?!sg-)[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$-]{1,255}", "1 to 255 characters without * that do not begin with sg-"
    ),
    "fleet_launch_template_name": Format(r"[A-Za-z0-9().\-/_]{3,128}", "3 to 128 letters, digits and ( ) . - / _"),
    "fleet_image": Format(
        r"keep|newest|ami-([0-9a-f]{8}|[0-9a-f]{17})", "keep, newest, or an id such as ami-0123456789abcdef0"
    ),
    "fleet_image_name_pattern": Format(
        r"[A-Za-z0-9()\[\] ./\-'@_*?]{3,128}", "3 to 128 characters of an image's name, * and ? as wildcards"
    ),
    "fleet_instance_type": Format(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", "an instance type such as t3.medium"),
    "fleet_volume_device": Format(r"/dev/[a-z0-9]+", "a device such as /dev/xvda"),
    "fleet_volume_kms_key_id": Format(
        r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/[\w/-]+|alias/[\w/-]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})?",
        "a key's id, alias/... or ARN, or empty for the account's default key",
    ),
    "fleet_worker_image": Format(
        r"(([a-z0-9.-]+(:\d+)?/)?[a-z0-9._/-]+)?(:[\w.-]{1,128})?(@sha256:[0-9a-f]{64})?",
        "an image reference, :TAG or @sha256:... of the fleet's own repository, or empty",
    ),
    "fleet_group_name": Format(r"[A-Za-z0-9 ._/=+@-]{1,255}", "1 to 255 letters, digits, blanks and . _ / = + @ -"),
    "fleet_termination_hook_name": Format(r"[A-Za-z0-9\-_/]{1,255}", "1 to 255 letters, digits and - _ /"),
    "fleet_launch_hook_name": Format(r"[A-Za-z0-9\-_/]{1,255}", "1 to 255 letters, digits and - _ /"),
    "fleet_valet_app": Format(r"[a-z0-9][a-z0-9-]{0,62}", "1 to 63 lower-case letters, digits and hyphens"),
    "fleet_valet_policy_name": Format(r"[\w+=,.@-]{1,128}", "1 to 128 letters, digits and _ + = , . @ -"),
    "fleet_valet_user_name": Format(r"[\w+=,.@-]{0,64}", "up to 64 letters, digits and _ + = , . @ -"),
    "fleet_valet_dir": Format(r"[^\n\0]+", "a folder"),
    "fleet_registry_table": Format(
        r"([A-Za-z_][A-Za-z0-9_$]{0,62}\.)?[A-Za-z_][A-Za-z0-9_$]{0,62}",
        "a table such as gh_worker_registry or public.gh_worker_registry",
    ),
    "fleet_registry_sslmode": Format(
        "(disable|require|verify-ca|verify-full)?", "disable, require, verify-ca or verify-full, or nothing"
    ),
    "fleet_drain": Format(INSTANCE, "an instance's id such as i-0123456789abcdef0"),
    "fleet_ssh_key_file": Format(r"[^\n\0]*", "a file, or empty"),
    **{
        name: Format(r"([1-9][0-9]{0,5}[mg])?", "a whole number and m or g, such as 3g, or empty for the image's limit")
        for name in LEAST_MEMORY
    },
    "fleet_collect_dir": Format(r"[^\n\0]+", "a folder"),
    "fleet_report_dir": Format(r"[^\n\0]*", "a folder, or empty"),
}
# List variable -> format of an element.
ELEMENTS = {
    "fleet_trusted_account_ids": Format(r"\d{12}", "12 digits in quotes"),
    "fleet_instances": Format(INSTANCE, "an instance's id such as i-0123456789abcdef0"),
    "fleet_subnet_ids": Format(r"subnet-([0-9a-f]{8}|[0-9a-f]{17})", "an id such as subnet-0123456789abcdef0"),
    "fleet_required_keys": Format(r"[A-Z_][A-Z0-9_]*(\|[A-Z_][A-Z0-9_]*)*", "KEY, or A|B for either of two"),
    **{
        f"fleet_{door}_security_group_ids": Format(
            r"sg-([0-9a-f]{8}|[0-9a-f]{17})", "an id such as sg-0123456789abcdef0"
        )
        for door in DOORS
    },
    **{
        f"fleet_{door}_prefix_list_ids": Format(r"pl-([0-9a-f]{8}|[0-9a-f]{17})", "an id such as pl-0123456789abcdef0")
        for door in DOORS
    },
}
CIDRS = tuple(f"fleet_{door}_cidrs" for door in DOORS)
# Variable -> minimum, maximum, unit.
ALARMS = 10  # of an instance refresh (API reference, AlarmSpecification)
RANGES = {
    "fleet_min_size": (0, 10000, "instances"),
    "fleet_max_size": (0, 10000, "instances"),
    "fleet_desired_capacity": (0, 10000, "instances"),
    "fleet_termination_hook_timeout": (*HEARTBEAT_SECONDS, "s"),
    "fleet_launch_hook_timeout": (*HEARTBEAT_SECONDS, "s"),
    "fleet_health_check_grace_seconds": (0, 86400, "s"),
    "fleet_cooldown_seconds": (0, 86400, "s"),
    "fleet_warmup_seconds": (0, 86400, "s"),
    "fleet_max_lifetime_days": (0, 365, "days"),
    "fleet_metadata_hop_limit": (1, 64, "hops"),
    "fleet_volume_size_gib": (8, 16384, "GiB"),
    "fleet_repository_keep_images": (1, 1000, "images"),
    "fleet_drain_limit_seconds": (30, GLOBAL_TIMEOUT_SECONDS, "s"),
    "fleet_spot_limit_seconds": (10, 118, "s"),
    "fleet_protection_linger_seconds": (0, 3600, "s"),
    "fleet_retained_max": (0, 1000, "instances"),
    "fleet_stop_grace_seconds": (1, 600, "s"),
    "fleet_boot_timeout_seconds": (60, 7200, "s"),
    "fleet_maintenance_min_healthy_percent": (0, 100, "%"),
    "fleet_maintenance_max_healthy_percent": (100, 200, "%"),
    "fleet_rollout_canary": (1, 10000, "instances"),
    "fleet_rollout_bake_minutes": (0, 2880, "minutes"),
    "fleet_rollout_serial": (1, 1000, "fleets"),
    "fleet_valet_jobs_per_worker": (1, 1000, "jobs"),
    "fleet_teardown_timeout": (10, GLOBAL_TIMEOUT_SECONDS, "s"),
    "fleet_replace_timeout": (10, GLOBAL_TIMEOUT_SECONDS, "s"),
    "fleet_command_canary": (1, 1000, "instances"),
    "fleet_command_batch": (1, 1000, "instances"),
    "fleet_command_timeout": (10, GLOBAL_TIMEOUT_SECONDS, "s"),
    "fleet_scale_min": (-1, 10000, "instances"),
    "fleet_scale_max": (-1, 10000, "instances"),
    "fleet_scale_desired": (-1, 10000, "instances"),
    "fleet_scale_timeout": (10, GLOBAL_TIMEOUT_SECONDS, "s"),
    "fleet_drain_timeout": (10, GLOBAL_TIMEOUT_SECONDS, "s"),
    "fleet_image_max_age_days": (1, 3650, "days"),
}
# Names that only one fleet may use, because two fleets would overwrite them in turn. True: one in the account, else one
# in each region.
UNIQUE = {
    "fleet_group_name": False,
    "fleet_launch_template_name": False,
    "fleet_security_group_name": False,
    "fleet_role_name": True,
    "fleet_instance_profile_name": True,
    "fleet_valet_policy_name": True,
}


def unknown_names(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """A problem for each `fleet_*` name that is not in the spec, with the nearest name that is."""
    known = sorted(known)
    problems = []
    for name in sorted(n for n in names if n.startswith("fleet_") and n not in set(known)):
        near = difflib.get_close_matches(name, known, 1)
        problems.append(
            f"{name} is not a variable of a fleet"
            + (f": did you mean {near[0]}?" if near else " (see playbooks/vars/fleet_spec.yml).")
        )
    return problems


def problems(s: Settings) -> list[str]:
    """Every rule that `s` (all fleet_* variables, converted to their types) breaks."""
    return [
        *_formats(s),
        *_cidrs(s),
        *_tags(s),
        *_volume(s),
        *_memory(s),
        *_sizes(s),
        *_times(s),
        *_sets(s),
        *_pairs(s),
    ]


def _formats(s: Settings) -> Iterator[str]:
    for name, format in FORMATS.items():
        if not re.fullmatch(format.pattern, s[name]):
            yield f"{name} is {s[name]!r}: write {format.description}."
    for name, format in ELEMENTS.items():
        for value in s[name]:
            if not re.fullmatch(format.pattern, value):
                yield f"{name} holds {value!r}: write {format.description}."
    for name, (least, most, unit) in RANGES.items():
        if not least <= s[name] <= most:
            yield f"{name} is {s[name]}: write {least} to {most} {unit}."


def _cidrs(s: Settings) -> Iterator[str]:
    for name in CIDRS:
        networks = []
        for value in s[name]:
            try:
                network = ipaddress.ip_network(value, strict=False)
            except ValueError:
                yield f"{name} holds {value!r}: write a network such as 203.0.113.7/32."
                continue
            networks.append(network)
            if value != str(network):  # AWS returns this spelling: any other would always differ
                reason = " (it has host bits set)" if _host_bits(value) else ""
                yield f"{name} holds {value!r}: write {network}{reason}."
        if name == "fleet_ssh_cidrs" and is_internet(map(str, networks)):
            yield (
                f"{name} holds {', '.join(s[name])}: SSH for the whole world is refused. "
                "Name your own networks, or leave the list empty and use Session Manager."
            )


def _host_bits(network: str) -> bool:
    try:
        ipaddress.ip_network(network)
    except ValueError:
        return True
    return False


def _tags(s: Settings) -> Iterator[str]:
    tags = s["fleet_tags"]
    if len(tags) > 40:  # 50 on a resource; the playbooks add Name and Role, AWS its own
        yield f"fleet_tags has {len(tags)} tags: AWS allows 50 on a resource, leave ten of them to Name, Role and AWS."
    spellings = dict[str, list[str]]()
    for key, value in tags.items():
        spellings.setdefault(str(key).lower(), []).append(str(key))
        if s["fleet_metadata_tags"] and not re.fullmatch(METADATA_TAG, str(key)):
            yield (
                f"fleet_tags has the key {key!r}, and with fleet_metadata_tags EC2 launches no instance with it: "
                "write letters, digits and + - = . , _ : @ only, or set fleet_metadata_tags to false."
            )
        if not isinstance(key, str) or not re.fullmatch(r"(?!(?i:aws):)[\w .:/=+@-]{1,128}", key):
            yield (
                f"fleet_tags has the key {key!r}: write 1 to 128 letters, digits, blanks and . : / = + @ - _ "
                "that do not begin with aws:."
            )
        if not isinstance(value, str) or not re.fullmatch(r"[\w .:/=+@-]{0,256}", value):
            yield (
                f"fleet_tags.{key} is {value!r}: "
                "write a quoted text of up to 256 letters, digits, blanks and . : / = + @ - _."
            )
    if KEY in spellings:
        yield f"fleet_tags has the key {' and '.join(spellings[KEY])}, by which the kit knows what it made: remove it."
    for same in spellings.values():
        if len(same) > 1:  # IAM API, TagRole: "Tag keys are not case sensitive"
            yield f"fleet_tags has the keys {' and '.join(same)}, which are one key for IAM: leave one of them."


def _volume(s: Settings) -> Iterator[str]:
    kind, size = s["fleet_volume_type"], s["fleet_volume_size_gib"]
    iops, throughput = s["fleet_volume_iops"], s["fleet_volume_throughput"]
    if throughput and kind != "gp3":
        yield f"fleet_volume_throughput is for gp3 and fleet_volume_type is {kind}: write 0."
    if kind not in IOPS:
        if iops:
            yield f"fleet_volume_iops is for {', '.join(IOPS)} and fleet_volume_type is {kind}: write 0."
        return
    least, most, per_gib = IOPS[kind]
    most = min(most, max(least, per_gib * size))
    if not iops and kind != "gp3":
        yield f"fleet_volume_type {kind} needs fleet_volume_iops: write {least} to {most} for {size} GiB."
    elif iops and not least <= iops <= most:
        yield f"fleet_volume_iops is {iops}: write {least} to {most} for {kind} of {size} GiB."
    least_throughput, most_throughput = GP3_THROUGHPUT
    most_throughput = min(most_throughput, (iops or least) // 4)
    if kind == "gp3" and throughput and not least_throughput <= throughput <= most_throughput:
        yield (
            f"fleet_volume_throughput is {throughput}: write {least_throughput} to {most_throughput} MiB/s "
            f"for gp3 with {iops or least} IOPS (fleet_volume_iops)."
        )


def mebibytes(limit: str) -> int:
    """A memory limit in MiB: 3g, 512m. 0: it is empty, or has another form, which `problems` reports."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mg])", limit)
    return int(found[1]) * (1024 if found[2] == "g" else 1) if found else 0


def _memory(s: Settings) -> Iterator[str]:
    for name, least in LEAST_MEMORY.items():
        if 0 < mebibytes(s[name]) < least:
            yield f"{name} is {s[name]!r}: write at least {least}m, or leave it empty for the image's limit."


def _sizes(s: Settings) -> Iterator[str]:
    least, most, desired = s["fleet_min_size"], s["fleet_max_size"], s["fleet_desired_capacity"]
    if least > most:
        yield f"fleet_min_size ({least}) is above fleet_max_size ({most})."
    elif not least <= desired <= most:
        yield f"fleet_desired_capacity ({desired}) is not between fleet_min_size ({least}) and fleet_max_size ({most})."
    low, high = s["fleet_maintenance_min_healthy_percent"], s["fleet_maintenance_max_healthy_percent"]
    if high - low > 100:  # InstanceMaintenancePolicy
        yield (
            f"fleet_maintenance_max_healthy_percent ({high}) is more than 100 above "
            f"fleet_maintenance_min_healthy_percent ({low})."
        )


def _times(s: Settings) -> Iterator[str]:
    heartbeat = s["fleet_termination_hook_timeout"]
    ceiling = min(GLOBAL_TIMEOUT_SECONDS, 100 * heartbeat)
    drain = s["fleet_drain_limit_seconds"] + s["fleet_stop_grace_seconds"]
    if drain > ceiling:
        yield (
            f"fleet_drain_limit_seconds and fleet_stop_grace_seconds need {drain} s, "
            f"but a hook with fleet_termination_hook_timeout {heartbeat} holds an instance for {ceiling} s at most: "
            f"raise the hook's timeout to {-(-drain // 100)} or more."
        )


def _sets(s: Settings) -> Iterator[str]:
    for name, known in (("fleet_suspended_processes", PROCESSES), ("fleet_termination_policies", TERMINATION_POLICIES)):
        for value in s[name]:
            if value not in known:
                near = difflib.get_close_matches(value, known, 1)
                yield f"{name} holds {value!r}: " + (
                    f"did you mean {near[0]}?" if near else f"write some of {', '.join(known)}."
                )
    if not s["fleet_termination_policies"]:
        yield "fleet_termination_policies is empty: write [Default]."
    if len(s["fleet_rollout_alarms"]) > ALARMS:
        yield f"fleet_rollout_alarms names {len(s['fleet_rollout_alarms'])} alarms: write {ALARMS} at most."
    if len(set(s["fleet_subnet_ids"])) == 1:
        yield (
            "fleet_subnet_ids names one subnet: "
            "write subnets in at least two zones, or none for the VPC's default subnets."
        )


def _pairs(s: Settings) -> Iterator[str]:
    if s["fleet_adopt"] not in ("", s["fleet_group_name"]):
        yield (
            f"fleet_adopt is {s['fleet_adopt']!r} and the fleet's group is {s['fleet_group_name']}: "
            f"to adopt that one write -e fleet_adopt={s['fleet_group_name']}."
        )
    scope = s["fleet_secret_scope"]
    if not fnmatchcase(s["fleet_secret_name"], scope):
        yield (
            f"fleet_secret_name ({s['fleet_secret_name']}) is outside fleet_secret_scope ({scope}): "
            "the worker role could not read it. Change one of the two."
        )
    if bool(s["fleet_access_key"]) != bool(s["fleet_secret_key"]):
        yield "fleet_access_key and fleet_secret_key go together: give both or neither."
    if s["fleet_access_key"] and s["fleet_profile"]:
        yield "fleet_profile and fleet_access_key exclude each other: give one of them."
    if s["fleet_cpu_credits"] and not s["fleet_instance_type"].startswith(BURSTABLE):
        yield (
            f"fleet_cpu_credits is for burstable instance types ({', '.join(BURSTABLE)}) and fleet_instance_type is "
            f"{s['fleet_instance_type']}: leave fleet_cpu_credits empty."
        )
    if s["fleet_key_public"] and not s["fleet_key_name"]:
        yield "fleet_key_public is given but fleet_key_name is empty: name the key pair."
    if s["fleet_valet_access_key"] and not s["fleet_valet_user_name"]:
        yield "fleet_valet_access_key needs fleet_valet_user_name: name VALET's IAM user."
    if s["fleet_launch_hook"] and s["fleet_launch_hook_name"] == s["fleet_termination_hook_name"]:
        yield (
            "fleet_launch_hook_name and fleet_termination_hook_name are the same: "
            "a hook has one transition, give them different names."
        )
    if s["fleet_worker_completes_hook"] and s["fleet_drain_policy"] == "wait_idle":
        yield (
            "fleet_worker_completes_hook is for drain policies http and sigterm: "
            "with fleet_drain_policy wait_idle the agent completes the hook."
        )
    if s["fleet_worker_completes_hook"] and s["fleet_worker_guard"] != "off":
        yield (
            "fleet_worker_completes_hook needs fleet_worker_guard 'off': "
            "beside the guard the agent completes the hook, as it alone knows whether a job was lost."
        )
    if s["fleet_worker_guard"] == "required" and s["fleet_drain_policy"] == "sigterm":
        yield (
            "fleet_worker_guard is required and fleet_drain_policy is sigterm, which does not use the guard: "
            "write fleet_drain_policy wait_idle."
        )


def shared_names(mine: Settings, other: Settings) -> list[str]:
    """Variables by which two fleets of one account would own the same resource, each with its value.

    Regional resources count only where both fleets are in one region. Both fleets must have one account and endpoint.
    """
    same_region = mine["fleet_region"] == other["fleet_region"]
    return [
        f"{v} ({mine[v]})"
        for v, account_wide in UNIQUE.items()
        if mine[v] == other[v] and (account_wide or same_region)
    ]
