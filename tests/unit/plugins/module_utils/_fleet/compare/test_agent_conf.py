# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""agent.conf, the contract with the program on the instance, and the user data that writes it."""

from __future__ import annotations

import base64
from itertools import permutations
from typing import Any

import pytest
import yaml
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import (
    DEFAULTS,
    REQUIRED,
    USER_DATA_BYTES,
    agent_conf,
    user_data,
)

LEAST = {
    "SCHEMA": 1,
    "REGION": "us-east-1",
    "GROUP": "g",
    "TERMINATION_HOOK": "h",
    "SECRET_ID": "a/b",
    "IMAGE": "r/i:1",
}


def read(conf: str) -> dict[str, str]:
    """As the agent reads it: KEY=value lines, no quoting."""
    return dict(line.split("=", 1) for line in conf.splitlines())


def test_the_keys_are_those_that_the_agent_knows() -> None:
    assert set(REQUIRED) == {"SCHEMA", "REGION", "GROUP", "TERMINATION_HOOK", "SECRET_ID", "IMAGE"}
    assert DEFAULTS == {
        "LAUNCH_HOOK": None,
        "ENDPOINT_URL": None,
        "IMAGE_FALLBACK": "never",
        "DRAIN_POLICY": "wait_idle",
        "DRAIN_LIMIT_SECONDS": 2100,
        "SPOT_LIMIT_SECONDS": 110,
        "HEARTBEAT_TIMEOUT_SECONDS": 300,
        "STOP_GRACE_SECONDS": 60,
        "BOOT_TIMEOUT_SECONDS": 900,
        "REQUIRED_KEYS": None,
        "WORKER_COMPLETES_HOOK": False,
        "LOG_GROUP": None,
    }


def test_required_keys_alone_make_a_file() -> None:
    assert read(agent_conf(LEAST)) == {k: str(v) for k, v in LEAST.items()}


def test_a_value_that_the_agent_assumes_anyway_is_not_written() -> None:
    assert agent_conf({**LEAST, **DEFAULTS}) == agent_conf(LEAST)


def test_numbers_mean_the_same_as_text() -> None:
    assert agent_conf({**LEAST, "DRAIN_LIMIT_SECONDS": "2100"}) == agent_conf(LEAST)


def test_other_values_are_written_each_in_its_form() -> None:
    conf = agent_conf(
        {
            **LEAST,
            "DRAIN_LIMIT_SECONDS": 60,
            "WORKER_COMPLETES_HOOK": True,
            "REQUIRED_KEYS": ["A", "B|C"],
            "LOG_GROUP": "/l",
        }
    )
    more = {"DRAIN_LIMIT_SECONDS": "60", "WORKER_COMPLETES_HOOK": "true", "REQUIRED_KEYS": "A,B|C", "LOG_GROUP": "/l"}
    assert read(conf) == {**{k: str(v) for k, v in LEAST.items()}, **more}


def test_the_order_means_nothing_to_the_reader() -> None:
    some = list(LEAST.items())[:4]
    rest = dict(list(LEAST.items())[4:])
    assert len({frozenset(read(agent_conf({**dict(order), **rest})).items()) for order in permutations(some)}) == 1


@pytest.mark.parametrize("key", REQUIRED)
@pytest.mark.parametrize("nothing", [None, "", "left out"])
def test_a_missing_key_is_refused_by_name(key: str, nothing: str | None) -> None:
    settings = {k: v for k, v in {**LEAST, key: nothing}.items() if v != "left out"}
    with pytest.raises(ValueError, match=f"needs {key}$"):
        agent_conf(settings)


def test_unknown_keys_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"no key COLOUR, MODE$"):
        agent_conf({**LEAST, "MODE": 1, "COLOUR": "red"})


@pytest.mark.parametrize("value", ["a\nGROUP=other", "a\r", "a\x00", "\x7f", " a", "a ", "\ta", ["a", "b\n"]])
def test_a_value_that_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="REQUIRED_KEYS"):
        agent_conf({**LEAST, "REQUIRED_KEYS": value})


@pytest.mark.parametrize("value", ["a=b", "a #b", '"a"', "$HOME", "{{ a }}", "ä", "a: b", "- a"])
def test_odd_values_come_back_through_cloud_config_as_they_went_in(value: str) -> None:
    conf = agent_conf({**LEAST, "LOG_GROUP": value})
    (file,) = yaml.safe_load(base64.b64decode(user_data(conf)))["write_files"]
    assert read(file["content"])["LOG_GROUP"] == value
    assert file["content"] == conf


def test_user_data_is_configuration_and_starts_nothing() -> None:
    text = base64.b64decode(user_data(agent_conf(LEAST))).decode()
    assert text.startswith("#cloud-config\n")
    parsed = yaml.safe_load(text)
    assert parsed.keys() == {"write_files"}
    (file,) = parsed["write_files"]
    assert {k: v for k, v in file.items() if k != "content"} == {
        "path": "/etc/ghosthands/agent.conf",
        "owner": "root:root",
        "permissions": "0600",
    }


def test_user_data_is_taken_to_the_last_byte_and_no_further() -> None:
    empty = len(base64.b64decode(user_data("A=\n")))
    most = "A=" + "x" * (USER_DATA_BYTES - empty) + "\n"
    assert len(base64.b64decode(user_data(most))) == USER_DATA_BYTES
    with pytest.raises(ValueError, match=f"{USER_DATA_BYTES + 1} bytes"):
        user_data(most.replace("A=", "A=x"))


def test_bytes_are_counted_and_not_letters() -> None:
    with pytest.raises(ValueError, match="bytes"):
        user_data("A=" + "ä" * (USER_DATA_BYTES // 2) + "\n")
