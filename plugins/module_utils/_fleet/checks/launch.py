# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§2, §8, §9: what an instance needs before its worker can boot. Looked at before anything is launched. Pure.

Its failures stop a run with a launch ahead; else they are warnings, and so they are where fleet_launch_unready is true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import path
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import CheckList, Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.preflight import LAUNCHES
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CommandLine
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch import Launch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Prerequisites

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """Everything that a check of this file may look at."""

    settings: Settings
    """Every fleet_* variable."""
    prerequisites: Prerequisites
    launch: Launch | None
    """None: not read, nothing is launched."""
    ahead: bool
    """Whether this run launches instances, or changes what later ones are launched from."""
    command_line: CommandLine

    @property
    def severity(self) -> str:
        """Of a failure."""
        return "error" if self.ahead and not self.settings["fleet_launch_unready"] else "warning"


CHECKS = CheckList[Inputs]()
check = CHECKS.check


def is_first(settings: Settings, found: Prerequisites) -> bool:
    """Whether a run of the whole site makes a group with instances."""
    most: int = max(settings["fleet_desired_capacity"], settings["fleet_min_size"])
    return found.group is None and most > 0


def before_launch(inputs: Inputs) -> list[Finding]:
    """The findings of the checks that failed."""
    return [finding for finding in (check.finding(inputs) for check in CHECKS) if not finding.ok]


@check("image-origin", 2, needed_by=LAUNCHES)
def _image_origin(inputs: Inputs) -> None:
    """The image was baked by this kit, so it has an agent.

    Of another account's image it is not known.
    """
    image, account = inputs.prerequisites.image, inputs.prerequisites.caller.account
    if image and image.has_agent(account) is None:
        raise Failed(
            f"Image {image.id} belongs to account {image.owner}, and AWS shows its tags to that account only: "
            "whether it has an agent is not known.",
            severity="info",
        )
    if image and image.has_agent(account) is False:
        raise Failed(
            f"Image {image.id} ({image.name}) does not say which agent.conf it reads: it was not baked by this kit, "
            "and its instances boot no worker.",
            Remedy("Bake one (§2), then add -e fleet_image=newest:", path.bake(inputs.settings)),
            inputs.severity,
        )


@check("worker-image", 8, needed_by=LAUNCHES)
def _worker_image(inputs: Inputs) -> None:
    """The worker image exists, where it is in a repository of this account and region."""
    launch = _read(inputs)
    if isinstance(launch.digest, Unread):
        raise Failed(f"Whether the worker image exists could not be asked: {launch.digest.reason}", severity="info")
    if launch.digest is None and launch.repository is False and not inputs.settings["fleet_worker_image"]:
        raise Failed(
            f"There is no repository {inputs.settings['fleet_repository_name']}, and so no worker image.",
            Remedy("Create it, then push the image:", (inputs.command_line.playbook("foundation.yml"),)),
            inputs.severity,
        )
    if launch.digest is None:
        raise Failed(
            f"There is no worker image {launch.worker_image}: no worker can boot.",
            Remedy("Push it, or name another in fleet_worker_image:", path.push(inputs.settings, launch.worker_image)),
            inputs.severity,
        )


@check("secret", 9, needed_by=LAUNCHES)
def _secret(inputs: Inputs) -> None:
    """The secret exists."""
    if inputs.prerequisites.secret is None:
        name = inputs.settings["fleet_secret_name"]
        raise Failed(
            f"There is no secret {name}: no worker can boot.",
            Remedy("Write it from a file with the keys of runbook section 9:", path.fill(inputs.command_line)),
            inputs.severity,
        )


@check("secret-keys", 9, needed_by=LAUNCHES)
def _secret_keys(inputs: Inputs) -> None:
    """The secret has every key of fleet_required_keys, and none that boot refuses. Looked at by name."""
    launch = _read(inputs)
    name, secret = inputs.settings["fleet_secret_name"], inputs.prerequisites.secret
    if secret is None or secret.deletion_scheduled or launch.secret is None:
        raise Skipped("another finding reports the secret")
    if isinstance(launch.secret, Unread):
        raise Failed(
            f"Whether secret {name} has the keys that a worker needs could not be asked: {launch.secret.reason}",
            "docs/iam/secret.json allows it.",
            "warning",
        )
    if launch.secret.problems:
        raise Failed(
            f"Secret {name} cannot boot a worker. {path.few(launch.secret.problems)}",
            Remedy(
                "Write what is missing; -e fleet_secret_replace=true also drops what the file does not have:",
                path.fill(inputs.command_line),
            ),
            inputs.severity,
        )


def _read(inputs: Inputs) -> Launch:
    if inputs.launch is None:
        raise Skipped("nothing is launched")
    return inputs.launch
