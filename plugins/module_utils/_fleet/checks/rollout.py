# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§3, §4: what has to be right before a rollout or a rollback changes anything. Pure.

What a version that is still to be made is launched from, the checks of preflight.py and launch.py look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import CheckList, Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CommandLine
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Group,
    Hook,
    Image,
    LaunchTemplate,
    Unread,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, first_of, listed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.ownership import KEY, VALUE
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout_target import Target

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
#: Without one of these no refresh replaces an instance (EC2 Auto Scaling User Guide, as-suspend-resume-processes).
PROCESSES = {"InstanceRefresh", "Launch", "Terminate"}


@dataclass(frozen=True)
class Inputs:
    """Everything that a check of this file may look at."""

    settings: Mapping[str, Any]
    """Every fleet_* variable."""
    account: str
    group: Group | None
    hooks: tuple[Hook, ...]
    """Of the group."""
    command_line: CommandLine
    target: Target | None = None
    """The version to go to; None: it is still to be made."""
    new_image: Image | None = None
    """Of a version that is still to be made."""
    without_agent: Sequence[str] = ()
    """The group's instances that have no agent of this kit."""

    @property
    def used(self) -> Group:
        """The group. Raises Skipped."""
        if self.group is None:
            raise Skipped("there is no group, which rollout-group reports")
        return self.group

    @property
    def image(self) -> Image | None:
        """The image of the version to go to."""
        return self.target.image if self.target else self.new_image

    @property
    def existing(self) -> Target:
        """The version to go to. Raises Skipped."""
        if self.target is None:
            raise Skipped("the version is still to be made")
        return self.target

    @property
    def version(self) -> LaunchTemplate:
        """The version to go to, as it is written. Raises Skipped."""
        if self.existing.template is None:
            raise Skipped("there is no such version, which rollout-version reports")
        return self.existing.template


CHECKS = CheckList[Inputs]()
check = CHECKS.check


def before_rollout(inputs: Inputs) -> list[Finding]:
    """The findings of the checks that failed."""
    return [finding for finding in (check.finding(inputs) for check in CHECKS) if not finding.ok]


@check("rollout-group", 4)
def _group(inputs: Inputs) -> None:
    """There is a group of this kit that uses a numbered version of the fleet's launch template: a way back."""
    group, settings, run = inputs.group, inputs.settings, inputs.command_line.playbook
    if group is None:
        raise Failed(
            f"There is no group {settings['fleet_group_name']} to roll out to.",
            Remedy("Create it:", (run("site.yml"),)),
        )
    if group.status:
        raise Failed(f"AWS is deleting group {group.name}.", "Wait until it is gone, then create it: site.yml")
    if KEY not in group.tags or group.tags[KEY].value != VALUE:
        raise Failed(f"This kit did not make group {group.name}.", "docs/adoption.md says how to adopt it.")
    if group.template_name != settings["fleet_launch_template_name"]:
        raise Failed(
            f"Group {group.name} launches from {group.template_name or 'no launch template'}, not from "
            f"{settings['fleet_launch_template_name']}.",
            Remedy("Run", (run("site.yml"),)),
        )
    if not group.template_version.isdigit():
        raise Failed(
            f"Group {group.name} names its launch template version {group.template_version or '(none)'}: "
            "an instance refresh could not be rolled back, and every version is used as soon as it exists.",
            Remedy("With fleet_template_version: numbered, run", (run("site.yml"),)),
        )


@check("rollout-hook", 5)
def _hook(inputs: Inputs) -> None:
    """The group has the termination hook: without it each replaced instance would end with its job."""
    group, name = inputs.used, inputs.settings["fleet_termination_hook_name"]
    if not any(hook.name == name and hook.transition == TERMINATING for hook in inputs.hooks):
        there = [hook.name for hook in inputs.hooks if hook.transition == TERMINATING]
        raise Failed(
            f"Group {group.name} has no termination hook {name}{f', only {listed(there)}' if there else ''}: "
            "the instances that a rollout replaces would end with their jobs.",
            Remedy("Make it:", (inputs.command_line.playbook("lifecycle_hook.yml"),)),
        )


@check("rollout-processes", 4)
def _processes(inputs: Inputs) -> None:
    """None of the group's processes is suspended without which no instance is replaced."""
    group, region = inputs.used, inputs.settings["fleet_region"]
    if stopped := sorted(PROCESSES & group.suspended_processes):
        resume = f"aws autoscaling resume-processes --scaling-processes {' '.join(stopped)}"
        raise Failed(
            f"Group {group.name} has {listed(stopped)} suspended: no instance would be replaced.",
            Remedy("Resume:", (f"{resume} --auto-scaling-group-name {group.name} --region {region}",)),
        )


@check("rollout-empty", 4, "info")
def _empty(inputs: Inputs) -> None:
    """The group has instances on which a version can be tried."""
    group = inputs.used
    if not group.desired_capacity:
        raise Failed(
            f"Group {group.name} desires no instances: its version moves at once, and nothing can be verified. "
            "The next scale-out is the first to run it."
        )


@check("rollout-agents", 11)
def _agents(inputs: Inputs) -> None:
    """Every instance has the agent: a rollout would end one that was made by hand together with its job."""
    if ids := inputs.without_agent:
        raise Failed(
            f"{count(len(ids), 'instance')} without the agent: {first_of(ids)}. "
            "A rollout would end them with their jobs.",
            Remedy("Replace them when they are idle:", (inputs.command_line.playbook("replace_unmanaged.yml"),)),
        )


@check("rollout-image-owner", 2)
def _image_owner(inputs: Inputs) -> None:
    """The image is this account's, or one of fleet_trusted_account_ids."""
    image = inputs.image
    if image and image.owner not in ("", inputs.account, *inputs.settings["fleet_trusted_account_ids"]):
        raise Failed(
            f"Image {image.id} ({image.name}) belongs to account {image.owner}: its system is somebody else's, and AWS "
            "shows nobody else whether it has an agent.",
            "Bake one in this account (make image), or add that account to fleet_trusted_account_ids.",
        )


@check("rollout-version", 3)
def _version(inputs: Inputs) -> None:
    """The version exists."""
    if inputs.existing.template is None:
        name = inputs.settings["fleet_launch_template_name"]
        raise Failed(
            f"Launch template {name} has no version {inputs.existing.version}: it was deleted.",
            Remedy("Roll out another one:", (inputs.command_line.playbook("rollout.yml"),)),
        )


@check("rollout-image", 2)
def _image(inputs: Inputs) -> None:
    """The version's image exists, is available, and fits its instance type."""
    version, image, type = inputs.version, inputs.image, inputs.existing.instance_type
    if image is None:
        raise _no_way_back(
            inputs,
            f"Image {version.image or '(none)'} of launch template version {version.version} does not exist, "
            "or is not shared with this account any more.",
        )
    if image.state != "available":
        raise _no_way_back(inputs, f"Image {image.id} of launch template version {version.version} is {image.state}.")
    if type is None:
        raise _no_way_back(inputs, f"The region has no instance type {version.type or '(none)'}.")
    if image.architecture not in type.architectures:
        runs = " and ".join(type.architectures)
        raise _no_way_back(
            inputs,
            f"Image {image.id} of launch template version {version.version} is for {image.architecture}, "
            f"but {type.name} runs {runs}.",
        )


@check("rollout-agent", 8)
def _agent(inputs: Inputs) -> None:
    """The version's image has an agent that reads the agent.conf which the version writes."""
    version, image = inputs.version, inputs.image
    if version.agent_conf_problem:
        raise _no_way_back(
            inputs, f"Launch template version {version.version} boots no worker: {version.agent_conf_problem}."
        )
    if image is None:
        raise Skipped("there is no image, which rollout-image reports")
    if image.has_agent(inputs.account) is None:
        raise Skipped("AWS shows the image's tags to its owner only")
    written = version.agent_conf.get("SCHEMA", "")
    if image.agent_schema != written:
        reads = (
            f"reads schema {image.agent_schema}" if image.agent_schema else "was not baked by this kit and reads none"
        )
        raise _no_way_back(
            inputs,
            f"Launch template version {version.version} writes agent.conf of schema {written or '(none)'}, "
            f"and its image {image.id} {reads}: no worker would boot.",
        )


@check("rollout-worker-image", 8)
def _worker_image(inputs: Inputs) -> None:
    """The worker image that the version's agents run exists, where it is in a repository of this account and region."""
    version, digest = inputs.version, inputs.existing.digest
    name = version.agent_conf.get("IMAGE", "")
    if isinstance(digest, Unread):
        raise Failed(f"Whether the worker image exists could not be asked: {digest.reason}", severity="info")
    if name and digest is None:
        raise _no_way_back(
            inputs, f"The worker image {name} of launch template version {version.version} does not exist any more."
        )


def _no_way_back(inputs: Inputs, detail: str) -> Failed:
    return Failed(detail, Remedy("Roll out another version instead:", (inputs.command_line.playbook("rollout.yml"),)))
