# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first day: README's steps in the order in which they work, which of them are done, and the next one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CommandLine
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import SCHEMA
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch import Launch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Prerequisites

Settings = Mapping[str, Any]
#: The words for a step's state: it has its result; it is the one to do; it comes after that; AWS does not tell.
DONE, NEXT, LATER, UNKNOWN = "done", "next", "later", "cannot be asked"
FEW = 12  # problems of a secret that a message names


class Step(NamedTuple):
    """A step of README's "On AWS"."""

    title: str
    state: str
    detail: str
    """what was seen of it"""
    commands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.state:<15}  {self.title}{f': {self.detail}' if self.detail else ''}"


class _Seen(NamedTuple):
    """A step without its place in the order."""

    title: str
    done: bool | Unread
    detail: str
    commands: tuple[str, ...]


def steps(settings: Settings, found: Prerequisites, launch: Launch, line: CommandLine) -> list[Step]:
    """Every step. At most one of them is the next."""
    result, found_next = list[Step](), False
    for number, seen in enumerate(_seen(settings, found, launch, line), 1):
        state = UNKNOWN if isinstance(seen.done, Unread) else DONE if seen.done else LATER if found_next else NEXT
        found_next = found_next or state == NEXT
        detail = seen.done.reason if isinstance(seen.done, Unread) else seen.detail
        result.append(Step(f"{number}. {seen.title}", state, detail, seen.commands))
    return result


def _seen(settings: Settings, found: Prerequisites, launch: Launch, line: CommandLine) -> Iterator[_Seen]:
    caller, account = found.caller, settings["fleet_account_id"]
    right = account in ("", caller.account)
    yield _Seen("Credentials", right, f"account {caller.account}", ("aws sts get-caller-identity",))
    foundation = line.playbook("foundation.yml")
    yield _Seen("Repository", launch.repository, settings["fleet_repository_name"], (foundation,))
    pushed = launch.digest if isinstance(launch.digest, Unread) else launch.digest is not None
    yield _Seen("Worker image", pushed, launch.worker_image, push(settings, launch.worker_image))
    yield _Seen("Roles", found.role_exists, settings["fleet_role_name"], (line.playbook("iam.yml"),))
    yield _Seen("Golden image", _baked(found), _image_in_words(found), bake(settings))
    secret = launch.secret
    filled = secret if isinstance(secret, Unread) else secret is not None and not secret.problems
    yield _Seen("Secret", filled, secret_in_words(settings, launch), fill(line))
    group = settings["fleet_group_name"]
    yield _Seen("Site", found.group is not None, group, (line.playbook("site.yml"),))
    yield _Seen("Verify", False, "at any time", (line.playbook("verify.yml"),))


def push(settings: Settings, image: str) -> tuple[str, ...]:
    """The commands that push the worker image as `image`."""
    registry, region = image.partition("/")[0], settings["fleet_region"]
    name = image.partition("@")[0]
    return (
        f"aws ecr get-login-password --region {region} | docker login --username AWS --password-stdin {registry}",
        f"docker tag ghosthands:latest {name}",
        f"docker push {name}",
    )


def bake(settings: Settings) -> tuple[str, ...]:
    """The command that bakes the golden image."""
    profile, region = settings["fleet_instance_profile_name"], settings["fleet_region"]
    return (f'make image OPTIONS="-var region={region} -var instance_profile={profile}"',)


def fill(line: CommandLine, *options: str) -> tuple[str, ...]:
    """The command that writes the secret."""
    return (line.playbook("secret.yml", "-e fleet_secret_file=worker.env", *options),)


def secret_in_words(settings: Settings, launch: Launch) -> str:
    """What is known of the secret: names of keys at most."""
    name = settings["fleet_secret_name"]
    if launch.secret is None:
        return f"there is no secret {name}"
    if isinstance(launch.secret, Unread):
        return f"{name} could not be read"
    return f"{name}: {few(launch.secret.problems)}" if launch.secret.problems else str(name)


def few(problems: tuple[str, ...]) -> str:
    """The first ones, and how many there are more."""
    more = len(problems) - FEW
    return " ".join([*problems[:FEW], *([f"And {more} more."] if more > 0 else [])])


def _baked(found: Prerequisites) -> bool | Unread:
    image = found.image
    if image and image.has_agent(found.caller.account) is None:
        return Unread(f"AWS shows the tags of {image.id} to account {image.owner} only.")
    return image is not None and image.agent_schema == SCHEMA


def _image_in_words(found: Prerequisites) -> str:
    if found.image is None:
        return "none"
    if found.image.agent_schema is None:
        return f"{found.image.id} has no agent"
    return found.image.id if found.image.agent_schema == SCHEMA else f"{found.image.id} has an agent of another release"
