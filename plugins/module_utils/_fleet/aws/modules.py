# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each module of the comparison reads: its resource's present state.

The modules of `compare/table.py`, each with the function that reads what it manages and the parameters that the
function takes: those that identify the resource.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, ec2, iam, other_services
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call


class Reader(NamedTuple):
    """How to read what a module manages."""

    read: Callable[..., Any]
    """(call, *identity) -> the resource; None (or nothing) where it does not exist. Raises AwsError."""
    identity: tuple[str, ...]
    """the names of the parameters that identify it"""

    def start(self, start: Callable[..., Any], call: Call, parameters: Mapping[str, Any]) -> Any:
        """The reading, under way; None where a parameter that identifies the resource is not known yet."""
        if any(name not in parameters for name in self.identity):
            return None
        return start(self.read, call, *(parameters[name] for name in self.identity))


def local_file(_call: Call, path: str) -> dict[str, Any] | None:
    """A file or folder on this machine, in the words of ansible.builtin.copy and ansible.builtin.file."""
    place = Path(path)
    if not place.exists():
        return None
    found: dict[str, Any] = {
        "state": "directory" if place.is_dir() else "file",
        "mode": f"{place.stat().st_mode & 0o7777:04o}",
    }
    if place.is_file():
        found["content"] = place.read_text(encoding="utf-8", errors="replace")
    return found


def _key_pair(call: Call, name: str) -> bool | None:
    return ec2.key_pair(call, name) or None


READERS = {
    "amazon.aws.cloudwatchlogs_log_group": Reader(other_services.log_group, ("log_group_name",)),
    "amazon.aws.ec2_key": Reader(_key_pair, ("name",)),
    "amazon.aws.ec2_launch_template": Reader(ec2.launch_template, ("template_name",)),
    "amazon.aws.ec2_security_group": Reader(ec2.security_groups, ("name",)),
    "amazon.aws.iam_access_key": Reader(iam.access_keys, ("user_name",)),
    "amazon.aws.iam_instance_profile": Reader(iam.instance_profile, ("name",)),
    "amazon.aws.iam_managed_policy": Reader(iam.managed_policy, ("name",)),
    "amazon.aws.iam_policy": Reader(iam.role_policy, ("iam_name", "policy_name")),
    "amazon.aws.iam_role": Reader(iam.role, ("name",)),
    "amazon.aws.iam_user": Reader(iam.user, ("name",)),
    "ansible.builtin.copy": Reader(local_file, ("dest",)),
    "ansible.builtin.file": Reader(local_file, ("path",)),
    "community.aws.autoscaling_lifecycle_hook": Reader(
        autoscaling.hook, ("autoscaling_group_name", "lifecycle_hook_name")
    ),
    "community.aws.ecs_ecr": Reader(other_services.repository, ("name",)),
    "wekruit.ghosthands.autoscaling_group_settings": Reader(autoscaling.group, ("name",)),
}
