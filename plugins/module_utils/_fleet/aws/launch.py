# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance needs before its worker can boot. Asks through a given `call`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import iam, other_services
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.prerequisites import Future, Settings
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.refused import unread_where_refused
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_secret
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch import Launch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    ECR_IMAGE,
    pinned_image,
    worker_image,
)


def start_launch(start: Callable[..., Future], call: Call, call_now: Call, s: Settings) -> Callable[[], Launch]:
    """Read it; the function that is returned waits for it. Nothing of it stops a run: what was refused is Unread.

    :param call_now: keeps no answer. The secret's value is read through it, and forgotten.
    """
    repository = start(unread_where_refused, _repository_exists, call, s)
    digest = start(unread_where_refused, _digest, call, s)
    secret = start(unread_where_refused, _secret, call, call_now, s)
    return lambda: Launch(_image(call, s), repository.result(), digest.result(), secret.result())


def _image(call: Call, s: Settings) -> str:
    me = iam.caller(call)
    return worker_image(s, me.account, me.dns_suffix)


def rolled_out_image(call: Call, s: Settings) -> str:
    """The worker image that a rollout pins: by its digest, so that a rollback finds it whatever its tag names then.

    Of a registry that this account cannot ask it is the name as it is written.
    """
    digest = _digest(call, s)
    return pinned_image(_image(call, s), digest) if isinstance(digest, str) else _image(call, s)


def _repository_exists(call: Call, s: Settings) -> bool:
    return other_services.repository(call, s["fleet_repository_name"]) is not None


def _digest(call: Call, s: Settings) -> str | Unread | None:
    return image_digest(call, s, _image(call, s))


def image_digest(call: Call, s: Settings, name: str) -> str | Unread | None:
    """Of a worker image by its whole name; None: it does not exist. Raises AwsError."""
    image = ECR_IMAGE.fullmatch(name)
    if image is None or (image["account"], image["region"]) != (iam.caller(call).account, s["fleet_region"]):
        return Unread(f"{name} is in no repository of this account and region.")
    which = {"imageDigest": image["digest"]} if image["digest"] else {"imageTag": image["tag"] or "latest"}
    return other_services.image_digest(call, image["repository"], which)


def _secret(call: Call, call_now: Call, s: Settings) -> worker_secret.SecretKeys | None:
    if other_services.secret(call, s["fleet_secret_name"]) is None:
        return None
    text: Any = other_services.secret_text(call_now, s["fleet_secret_name"])
    return worker_secret.keys(text, s["fleet_required_keys"])
