# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account: one request once, and every error as a sentence on what is wrong and one on what to do. No network."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import (
    BAD_CREDENTIALS,
    DENIED,
    Account,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSOTokenLoadError,
    UnauthorizedSSOTokenError,
)
from botocore.stub import Stubber


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the developer's AWS configuration nor an instance's profile gets in."""
    for name in (
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_ENDPOINT_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def account() -> Account:
    """With dummy keys."""
    return Account("us-east-1", access_key="dummy-access-key", secret_key="dummy-secret-key")


def failing(account: Account, error: Exception) -> str:
    """The message of a call that raises `error`."""

    class Client:
        def can_paginate(self, operation: str) -> bool:
            return False

        def get_role(self, **_request: Any) -> None:
            raise error

    account._clients["iam"] = Client()
    with pytest.raises(AwsError) as raised:
        account.call("iam", "get_role", RoleName="r")
    return str(raised.value)


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "the reason"}}, "GetRole")


def test_without_credentials_the_error_says_how_to_log_in() -> None:
    with pytest.raises(AwsError, match=r"No AWS credentials found\. Log in .*fleet_profile"):
        Account("us-east-1")


def test_an_unknown_profile_is_named_with_the_variable() -> None:
    with pytest.raises(AwsError, match=r"nosuch.*fleet_profile"):
        Account("us-east-1", profile="nosuch")


def test_a_misspelt_region_is_refused_with_one_that_is_near() -> None:
    with pytest.raises(AwsError, match=r"fleet_region 'us-east1'.*us-east-1"):
        Account("us-east1", access_key="dummy-access-key", secret_key="dummy-secret-key")


def test_a_region_that_resembles_no_other_is_refused() -> None:
    with pytest.raises(AwsError, match="fleet_region 'x'"):
        Account("x", access_key="dummy-access-key", secret_key="dummy-secret-key")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-2", "cn-north-1", "us-gov-west-1"])
def test_regions_of_every_partition_are_known(region: str) -> None:
    assert Account(region, access_key="dummy-access-key", secret_key="dummy-secret-key").region == region


@pytest.mark.parametrize("code", sorted(DENIED))
def test_a_denied_call_is_named_as_a_policy_would_name_it(account: Account, code: str) -> None:
    assert failing(account, refusal(code)).startswith("These credentials may not call iam:GetRole (the reason).")


@pytest.mark.parametrize("code", sorted(BAD_CREDENTIALS))
def test_credentials_that_aws_does_not_accept_ask_for_a_login(account: Account, code: str) -> None:
    message = failing(account, refusal(code))
    assert code in message
    assert "Log in again" in message


def test_any_other_error_has_its_call_region_and_code(account: Account) -> None:
    assert failing(account, refusal("Throttling")) == "iam:GetRole in us-east-1 failed with Throttling: the reason"


@pytest.mark.parametrize(
    "error",
    [
        UnauthorizedSSOTokenError(),
        SSOTokenLoadError(error_msg="x"),
        CredentialRetrievalError(provider="sso", error_msg="x"),
    ],
)
def test_an_expired_login_asks_for_another(account: Account, error: Exception) -> None:
    assert "aws sso login" in failing(account, error)


def test_an_endpoint_that_is_down_is_named_with_the_command_that_starts_it() -> None:
    account = Account("us-east-1", "http://127.0.0.1:1", access_key="dummy-access-key", secret_key="dummy-secret-key")
    message = failing(account, EndpointConnectionError(endpoint_url="http://127.0.0.1:1"))
    assert "fleet_endpoint_url is http://127.0.0.1:1" in message
    assert "python -m localcloud up" in message


def test_aws_itself_out_of_reach_asks_for_network_and_region(account: Account) -> None:
    message = failing(account, EndpointConnectionError(endpoint_url="https://iam.amazonaws.com"))
    assert "Check the network and fleet_region." in message


def test_every_other_failure_names_the_call(account: Account) -> None:
    assert failing(account, ReadTimeoutError(endpoint_url="https://x")).startswith("iam:GetRole in us-east-1 failed: ")


def test_a_code_that_means_absent_is_none(account: Account) -> None:
    with Stubber(account._client("iam")) as stub:
        stub.add_client_error("get_role", "NoSuchEntity", expected_params={"RoleName": "r"})
        assert account.call("iam", "get_role", "Role", absent=("NoSuchEntity",), RoleName="r") is None


def test_the_same_request_is_sent_once_and_its_parts_are_taken_from_the_response(account: Account) -> None:
    with Stubber(account._client("sts")) as stub:
        stub.add_response(
            "get_caller_identity", {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"}
        )
        assert account.call("sts", "get_caller_identity", "Account") == "123456789012"
        assert account.call("sts", "get_caller_identity")["Arn"].endswith("/me")
    assert account.calls == 1


def test_another_request_is_sent_too(account: Account) -> None:
    role = {
        "Path": "/",
        "RoleName": "rrr",
        "RoleId": "A" * 16,
        "Arn": "arn:aws:iam::123456789012:role/r",
        "CreateDate": "2026-01-01",
    }
    with Stubber(account._client("iam")) as stub:
        stub.add_response("get_role", {"Role": role}, {"RoleName": "a"})
        stub.add_client_error("get_role", "NoSuchEntity", expected_params={"RoleName": "b"})
        assert account.call("iam", "get_role", "Role", absent=("NoSuchEntity",), RoleName="a")["RoleName"] == "rrr"
        assert account.call("iam", "get_role", "Role", absent=("NoSuchEntity",), RoleName="b") is None


def test_every_page_of_a_response_is_fetched(account: Account) -> None:
    with Stubber(account._client("autoscaling")) as stub:
        group = {
            "AutoScalingGroupName": "g",
            "MinSize": 0,
            "MaxSize": 0,
            "DesiredCapacity": 0,
            "DefaultCooldown": 0,
            "AvailabilityZones": ["a"],
            "HealthCheckType": "EC2",
            "CreatedTime": "2026-01-01",
        }
        stub.add_response("describe_auto_scaling_groups", {"AutoScalingGroups": [group], "NextToken": "2"})
        stub.add_response("describe_auto_scaling_groups", {"AutoScalingGroups": [group]}, {"NextToken": "2"})
        assert len(account.call("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups")) == 2


def test_call_now_is_sent_every_time(account: Account) -> None:
    me = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"}
    with Stubber(account._client("sts")) as stub:
        stub.add_response("get_caller_identity", me)
        stub.add_response("get_caller_identity", me)
        account.call_now("sts", "get_caller_identity")
        account.call_now("sts", "get_caller_identity")
    assert account.calls == 2


def test_threads_with_the_same_request_wait_for_one_response(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, free = [], threading.Event()

    def slowly(*question: Any) -> dict[str, str]:
        asked.append(question)
        assert free.wait(10)
        return {"Role": "r"}

    monkeypatch.setattr(account, "_send", slowly)
    under_way = [account.start(account.call, "iam", "get_role", "Role") for _turn in range(8)]
    free.set()
    assert [answer.result(10) for answer in under_way] == ["r"] * 8
    assert len(asked) == 1
