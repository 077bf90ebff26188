"""agent.conf as the agent reads it. What the playbooks write: tests/unit/plugins/.../compare/test_agent_conf.py."""

from __future__ import annotations

import pytest
from ghosthands_agent.settings import KEYS, OPTIONAL_KEYS, BadSettings, Settings, parse
from model.agent_conf import conf


def problem(text: str) -> str:
    with pytest.raises(BadSettings) as raised:
        parse(text)
    return str(raised.value)


def without(key: str) -> str:
    return "".join(line for line in conf().splitlines(True) if not line.startswith(f"{key}="))


def test_every_key_becomes_a_value() -> None:
    text = conf(
        REGION="eu-west-1",
        GROUP="a group",
        TERMINATION_HOOK="t",
        SECRET_ID="s",
        IMAGE=f"r:5000/i@sha256:{'0' * 64}",
        LAUNCH_HOOK="l",
        ENDPOINT_URL="http://127.0.0.1:5566",
        IMAGE_FALLBACK="baked",
        DRAIN_POLICY="http",
        DRAIN_LIMIT_SECONDS="60",
        SPOT_LIMIT_SECONDS="90",
        HEARTBEAT_TIMEOUT_SECONDS="30",
        STOP_GRACE_SECONDS="5",
        BOOT_TIMEOUT_SECONDS="100",
        REQUIRED_KEYS="A,B|C",
        WORKER_COMPLETES_HOOK="false",
        LOG_GROUP="/a/b",
        WORKER_GUARD="required",
        PROTECTION_LINGER_SECONDS="0",
        LAUNCH_HOOK_TIMEOUT_SECONDS="600",
        RETAINED_MAX="0",
        WORKER_MEMORY="3g",
        API_MEMORY="600m",
        DEPLOY_MEMORY="",
    )
    assert parse(text) == Settings(
        region="eu-west-1",
        group="a group",
        termination_hook="t",
        secret_id="s",
        image=f"r:5000/i@sha256:{'0' * 64}",
        launch_hook="l",
        endpoint_url="http://127.0.0.1:5566",
        image_fallback="baked",
        drain_policy="http",
        drain_limit_seconds=60,
        spot_limit_seconds=90,
        heartbeat_timeout_seconds=30,
        stop_grace_seconds=5,
        boot_timeout_seconds=100,
        required_keys=("A", "B|C"),
        worker_completes_hook=False,
        log_group="/a/b",
        worker_guard="required",
        protection_linger_seconds=0,
        launch_hook_timeout_seconds=600,
        retained_max=0,
        worker_memory="3g",
        api_memory="600m",
        deploy_memory=None,
    )


def test_an_optional_key_without_a_value_means_none() -> None:
    settings = parse(conf(**dict.fromkeys(OPTIONAL_KEYS, "")))
    assert (settings.launch_hook, settings.endpoint_url, settings.log_group) == (None, None, None)
    assert settings.required_keys == ()


def test_comments_and_empty_lines_are_skipped() -> None:
    assert parse(f"# a comment\n\n  # another\n{conf()}") == parse(conf())


def test_a_value_is_everything_after_the_first_equals_sign() -> None:
    assert parse(conf(GROUP="a=b")).group == "a=b"


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_key_is_named(key: str) -> None:
    assert problem(without(key)) == f"{key} is missing."


@pytest.mark.parametrize("key", sorted(set(KEYS) - set(OPTIONAL_KEYS)))
def test_an_empty_value_of_another_key_is_refused(key: str) -> None:
    assert f"{key} is ''" in problem(conf(**{key: ""}))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COLOUR=red", "COLOUR is not a key"),
        ("REGION=us-east-1", "REGION is given twice"),
        ("no equals sign", "Line 26"),
        ("lower=case", "Line 26"),
        (" LOG_GROUP=x", "Line 26"),
    ],
)
def test_an_invalid_line_is_refused(line: str, expected: str) -> None:
    assert expected in problem(f"{conf()}{line}\n")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("SCHEMA", "3", "SCHEMA is '3', this agent reads 4"),
        ("RETAINED_MAX", "-1", "write a whole number from 0 to 1000"),
        ("LAUNCH_HOOK_TIMEOUT_SECONDS", "29", "write whole seconds from 30 to 7200"),
        ("WORKER_MEMORY", "2048", "WORKER_MEMORY is '2048': write a whole number and m or g"),
        ("API_MEMORY", "1t", "API_MEMORY is '1t'"),
        ("WORKER_MEMORY", "512m", "WORKER_MEMORY is '512m': write at least 1024m"),
        ("DEPLOY_MEMORY", "10m", "DEPLOY_MEMORY is '10m': write at least 64m"),
        ("REGION", "here", "REGION is 'here'"),
        ("DRAIN_POLICY", "hope", "DRAIN_POLICY is 'hope'"),
        ("WORKER_COMPLETES_HOOK", "yes", "WORKER_COMPLETES_HOOK"),
        ("WORKER_GUARD", "on", "WORKER_GUARD is 'on': write off or preferred or required."),
        ("HEARTBEAT_TIMEOUT_SECONDS", "29", "30 to 7200"),
        ("HEARTBEAT_TIMEOUT_SECONDS", "7201", "30 to 7200"),
        ("DRAIN_LIMIT_SECONDS", "1e3", "DRAIN_LIMIT_SECONDS"),
        ("SPOT_LIMIT_SECONDS", "-10", "SPOT_LIMIT_SECONDS"),
        ("STOP_GRACE_SECONDS", "\u0661\u0660", "STOP_GRACE_SECONDS"),  # digits to Python
        ("ENDPOINT_URL", "localhost:5566", "ENDPOINT_URL"),
        ("ENDPOINT_URL", "http://user:word@host", "ENDPOINT_URL"),
        ("LAUNCH_HOOK", "gh-worker-termination", "LAUNCH_HOOK and TERMINATION_HOOK are the same"),
        ("LAUNCH_HOOK", "a hook", "LAUNCH_HOOK"),
        ("REQUIRED_KEYS", "A,,B", "REQUIRED_KEYS"),
        ("REQUIRED_KEYS", "A|", "REQUIRED_KEYS"),
        ("LOG_GROUP", "a b", "LOG_GROUP"),
        ("WORKER_COMPLETES_HOOK", "true", "WORKER_COMPLETES_HOOK is for DRAIN_POLICY"),
        ("DRAIN_LIMIT_SECONDS", "30001", "holds an instance for 30000 s at most"),
    ],
)
def test_an_invalid_value_is_refused_with_the_keys_name(key: str, value: str, expected: str) -> None:
    assert expected in problem(conf(**{key: value}))


def test_every_problem_is_reported_at_once() -> None:
    text = problem("SCHEMA=1\nREGION=here\nCOLOUR=red\nIMAGE=r/i\n")
    for expected in ("SCHEMA is '1'", "REGION is 'here'", "COLOUR", *(f"{key} is missing" for key in KEYS[2:5])):
        assert expected in text


def test_a_long_drain_needs_a_hook_that_holds_as_long() -> None:
    limits = {"HEARTBEAT_TIMEOUT_SECONDS": "30", "STOP_GRACE_SECONDS": "60"}
    assert parse(conf(**limits, DRAIN_LIMIT_SECONDS="2940")).drain_limit_seconds == 2940
    assert "3000 s at most" in problem(conf(**limits, DRAIN_LIMIT_SECONDS="2941"))


def test_no_drain_outlasts_the_global_timeout_of_two_days() -> None:
    limits = {"HEARTBEAT_TIMEOUT_SECONDS": "7200", "DRAIN_LIMIT_SECONDS": "172800", "STOP_GRACE_SECONDS": "1"}
    assert "172800 s at most" in problem(conf(**limits))


def test_the_worker_gets_another_hooks_name_than_the_agent() -> None:
    assert parse(conf(TERMINATION_HOOK="h")).worker_hook != "h"
    alone = conf(TERMINATION_HOOK="h", DRAIN_POLICY="sigterm", WORKER_COMPLETES_HOOK="true", WORKER_GUARD="off")
    assert (parse(alone).worker_completes_hook, parse(alone).worker_hook) == (True, "h")


@pytest.mark.parametrize("guard", ["preferred", "required"])
def test_beside_a_guard_the_worker_must_not_complete_the_hook(guard: str) -> None:
    text = conf(DRAIN_POLICY="http", WORKER_COMPLETES_HOOK="true", WORKER_GUARD=guard)
    assert problem(text).startswith("WORKER_COMPLETES_HOOK needs WORKER_GUARD off: ")


def test_a_guard_that_the_policy_does_not_use_cannot_be_required() -> None:
    assert problem(conf(DRAIN_POLICY="sigterm", WORKER_GUARD="required")).startswith("WORKER_GUARD is required and ")
    assert parse(conf(DRAIN_POLICY="sigterm")).worker_guard == "preferred"
