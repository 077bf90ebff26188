"""agent.conf as the agent reads it, and the contract with the side that writes it."""

from __future__ import annotations

from dataclasses import fields

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare import agent_conf as plugin
from ghosthands_agent import settings
from ghosthands_agent.settings import BadSettings, Settings, parse

LEAST = "SCHEMA=1\nREGION=us-east-1\nGROUP=g\nTERMINATION_HOOK=h\nSECRET_ID=a/b\nIMAGE=r/i:1\n"


def problem(text: str) -> str:
    with pytest.raises(BadSettings) as raised:
        parse(text)
    return str(raised.value)


def test_agent_and_playbooks_know_the_same_keys_and_defaults() -> None:
    assert settings.REQUIRED == plugin.REQUIRED
    assert dict(settings.DEFAULTS) == dict(plugin.DEFAULTS)


def test_what_the_playbooks_write_is_read_back() -> None:
    given = {
        "SCHEMA": 1,
        "REGION": "eu-west-1",
        "GROUP": "a group",
        "TERMINATION_HOOK": "t",
        "SECRET_ID": "s",
        "IMAGE": f"r:5000/i@sha256:{'0' * 64}",
        "LAUNCH_HOOK": "l",
        "ENDPOINT_URL": "http://127.0.0.1:5566",
        "IMAGE_FALLBACK": "baked",
        "DRAIN_POLICY": "http",
        "DRAIN_LIMIT_SECONDS": 60,
        "SPOT_LIMIT_SECONDS": 90,
        "HEARTBEAT_TIMEOUT_SECONDS": 30,
        "STOP_GRACE_SECONDS": 5,
        "BOOT_TIMEOUT_SECONDS": 100,
        "REQUIRED_KEYS": ["A", "B|C"],
        "WORKER_COMPLETES_HOOK": True,
        "LOG_GROUP": "/a/b",
    }
    assert parse(plugin.agent_conf(given)) == Settings(
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
        worker_completes_hook=True,
        log_group="/a/b",
    )


def test_what_is_not_written_is_what_both_sides_assume() -> None:
    read = parse(LEAST)
    assumed = {key.lower(): value for key, value in settings.DEFAULTS.items()}
    assumed["required_keys"] = settings.REQUIRED_KEYS
    assert {field.name: getattr(read, field.name) for field in fields(read) if field.name in assumed} == assumed


def test_comments_and_empty_lines_say_nothing() -> None:
    assert parse(f"# a comment\n\n  # another\n{LEAST}") == parse(LEAST)


def test_a_value_is_everything_behind_the_first_equals_sign() -> None:
    assert parse(LEAST.replace("GROUP=g", "GROUP=a=b")).group == "a=b"


@pytest.mark.parametrize("key", settings.REQUIRED)
def test_a_missing_key_is_named(key: str) -> None:
    assert (
        problem("".join(line for line in LEAST.splitlines(True) if not line.startswith(f"{key}=")))
        == f"{key} is missing."
    )


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("COLOUR=red", "COLOUR is not a key"),
        ("REGION=us-east-1", "REGION is given twice"),
        ("no equals sign", "Line 7"),
        ("lower=case", "Line 7"),
        (" LOG_GROUP=x", "Line 7"),
        ("DRAIN_POLICY=hope", "DRAIN_POLICY is 'hope'"),
        ("IMAGE_FALLBACK=", "IMAGE_FALLBACK"),
        ("WORKER_COMPLETES_HOOK=yes", "WORKER_COMPLETES_HOOK"),
        ("HEARTBEAT_TIMEOUT_SECONDS=29", "30 to 7200"),
        ("HEARTBEAT_TIMEOUT_SECONDS=7201", "30 to 7200"),
        ("DRAIN_LIMIT_SECONDS=1e3", "DRAIN_LIMIT_SECONDS"),
        ("SPOT_LIMIT_SECONDS=-10", "SPOT_LIMIT_SECONDS"),
        ("STOP_GRACE_SECONDS=\u0661\u0660", "STOP_GRACE_SECONDS"),  # digits to Python, not to us
        ("BOOT_TIMEOUT_SECONDS=", "BOOT_TIMEOUT_SECONDS"),
        ("ENDPOINT_URL=localhost:5566", "ENDPOINT_URL"),
        ("ENDPOINT_URL=http://user:word@host", "ENDPOINT_URL"),
        ("LAUNCH_HOOK=h", "LAUNCH_HOOK and TERMINATION_HOOK are the same"),
        ("LAUNCH_HOOK=a hook", "LAUNCH_HOOK"),
        ("REQUIRED_KEYS=A,,B", "REQUIRED_KEYS"),
        ("REQUIRED_KEYS=A|", "REQUIRED_KEYS"),
        ("LOG_GROUP=a b", "LOG_GROUP"),
        ("WORKER_COMPLETES_HOOK=true", "WORKER_COMPLETES_HOOK is for DRAIN_POLICY"),
        ("DRAIN_LIMIT_SECONDS=30001", "holds an instance for 30000 s at most"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_keys_name(line: str, named: str) -> None:
    assert named in problem(f"{LEAST}{line}\n")


def test_every_problem_is_told_at_once() -> None:
    text = problem("SCHEMA=2\nREGION=here\nCOLOUR=red\nIMAGE=r/i\n")
    for named in (
        "SCHEMA is '2'",
        "REGION is 'here'",
        "COLOUR",
        "GROUP is missing",
        "TERMINATION_HOOK is missing",
        "SECRET_ID is missing",
    ):
        assert named in text


def test_a_long_drain_needs_a_hook_that_holds_as_long() -> None:
    limits = "HEARTBEAT_TIMEOUT_SECONDS=30\nDRAIN_LIMIT_SECONDS={}\nSTOP_GRACE_SECONDS=60\n"
    assert parse(LEAST + limits.format(2940)).drain_limit_seconds == 2940
    assert "3000 s at most" in problem(LEAST + limits.format(2941))


def test_no_drain_outlasts_the_global_timeout_of_two_days() -> None:
    text = f"{LEAST}HEARTBEAT_TIMEOUT_SECONDS=7200\nDRAIN_LIMIT_SECONDS=172800\nSTOP_GRACE_SECONDS=1\n"
    assert "172800 s at most" in problem(text)


def test_the_worker_is_told_another_hook_than_the_agents() -> None:
    assert parse(LEAST).worker_hook != "h"
    assert parse(f"{LEAST}DRAIN_POLICY=sigterm\nWORKER_COMPLETES_HOOK=true\n").worker_hook == "h"
