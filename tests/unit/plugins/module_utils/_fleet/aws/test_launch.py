# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read before a launch, and that of the secret nothing but names is kept."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.launch import start_launch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch import Launch

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
NAMED = {"SecretId": "ghosthands/worker/env"}
ME = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"}


@pytest.fixture
def account(answers: Any) -> Any:
    """An account with everything."""
    answers.on("get_caller_identity", ME)
    answers.on("describe_repositories", {"repositories": [{"repositoryName": "x"}]}, repositoryNames=["ghosthands"])
    answers.on("get_lifecycle_policy", None, repositoryName="ghosthands")
    images(answers, {"imageTag": "latest"}, "sha256:1")
    answers.on("describe_secret", {"ARN": "arn:s"}, **NAMED)
    return answers.on("get_secret_value", {"SecretString": '{"A": "hidden", "B": ""}'}, **NAMED)


def images(answers: Any, which: dict[str, str], digest: str | None) -> None:
    found = {"imageDetails": [{"imageDigest": digest}]} if digest else None
    answers.on("describe_images", found, repositoryName="ghosthands", imageIds=[which])


def read(answers: Any, settings: dict[str, Any], call_now: Any = None, **more: Any) -> Launch:
    wanted = settings | {"fleet_required_keys": ["A", "B"]} | more
    return start_launch(answers.start, answers.call, call_now or answers.call, wanted)()


def test_names_and_verdicts_are_kept_and_no_value(account: Any, settings: dict[str, Any]) -> None:
    found = read(account, settings)
    assert (found.worker_image, found.repository, found.digest) == (f"{REGISTRY}/ghosthands:latest", True, "sha256:1")
    assert not isinstance(found.secret, Unread | None)
    assert found.secret.names == frozenset({"A", "B"})
    assert found.secret.problems == ("B is missing or empty.",)
    assert "hidden" not in repr(found)


@pytest.mark.parametrize("value", [None, {"SecretBinary": b"x"}, {"SecretString": " "}])
def test_a_secret_without_text_is_empty(account: Any, settings: dict[str, Any], value: Any) -> None:
    account.on("get_secret_value", value, **NAMED)
    secret = read(account, settings).secret
    assert not isinstance(secret, Unread | None)
    assert secret.problems == ("It is empty.",)


def test_what_is_not_there_is_none(account: Any, settings: dict[str, Any]) -> None:
    account.on("describe_repositories", None, repositoryNames=["ghosthands"])
    images(account, {"imageTag": "latest"}, None)
    account.on("describe_secret", None, **NAMED)
    found = read(account, settings)
    assert (found.repository, found.digest, found.secret) == (False, None, None)
    assert "get_secret_value" not in account.asked


def test_a_digest_is_looked_up_as_one(account: Any, settings: dict[str, Any]) -> None:
    digest = "sha256:" + "a" * 64
    images(account, {"imageDigest": digest}, digest)
    assert read(account, settings, fleet_worker_image=f"{REGISTRY}/ghosthands@{digest}").digest == digest


@pytest.mark.parametrize("image", ["docker.io/wekruit/worker:1", REGISTRY.replace("us-east-1", "eu-west-1") + "/x:1"])
def test_an_image_elsewhere_cannot_be_asked(account: Any, settings: dict[str, Any], image: str) -> None:
    assert isinstance(read(account, settings, fleet_worker_image=image).digest, Unread)


def test_a_refusal_is_the_parts_own(account: Any, settings: dict[str, Any]) -> None:
    def refuse(*_arguments: Any, **_request: Any) -> None:
        raise AwsError("Not allowed.")

    found = read(account, settings, refuse)
    assert (found.secret, found.digest) == (Unread("Not allowed."), "sha256:1")
