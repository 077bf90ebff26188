# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""agent.conf: its text, and the user data that writes it. tests/house/test_agent_conf.py holds the agent to it."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import (
    USER_DATA_BYTES,
    agent_conf,
    user_data,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import (
    KEYS,
    OPTIONAL_KEYS,
    SCHEMA,
)

SETTINGS = {key: f"some-{key.lower()}" for key in KEYS if key != "SCHEMA"}
VALUES = {"SCHEMA": SCHEMA, **SETTINGS}


def read(conf: str) -> dict[str, str]:
    """As the agent reads it: KEY=value lines, no quoting."""
    return dict(line.split("=", 1) for line in conf.splitlines())


def test_values_are_written_each_in_its_form() -> None:
    conf = agent_conf(
        SETTINGS
        | {
            "DRAIN_LIMIT_SECONDS": 60,
            "WORKER_COMPLETES_HOOK": True,
            "REQUIRED_KEYS": ["A", "B|C"],
            "LAUNCH_HOOK": None,
        }
    )
    changed = {
        "DRAIN_LIMIT_SECONDS": "60",
        "WORKER_COMPLETES_HOOK": "true",
        "REQUIRED_KEYS": "A,B|C",
        "LAUNCH_HOOK": "",
    }
    assert read(conf) == VALUES | changed


@pytest.mark.parametrize("key", SETTINGS)
def test_a_missing_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(ValueError, match=f"needs {key}$"):
        agent_conf({k: v for k, v in SETTINGS.items() if k != key})


@pytest.mark.parametrize("key", sorted(set(SETTINGS) - set(OPTIONAL_KEYS)))
def test_a_key_that_needs_a_value_is_refused_without_one(key: str) -> None:
    with pytest.raises(ValueError, match=f"needs {key}$"):
        agent_conf(SETTINGS | {key: ""})


def test_unknown_keys_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"no key COLOUR, MODE$"):
        agent_conf(SETTINGS | {"MODE": 1, "COLOUR": "red"})


@pytest.mark.parametrize("value", ["a\nGROUP=other", "a\r", "a\x00", "\x7f", " a", "a ", "\ta", ["a", "b\n"]])
def test_a_value_that_would_not_come_back_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="REQUIRED_KEYS"):
        agent_conf({**SETTINGS, "REQUIRED_KEYS": value})


@pytest.mark.parametrize("value", ["a=b", "a #b", '"a"', "$HOME", "{{ a }}", "ä", "a: b", "- a"])
def test_odd_values_come_back_through_cloud_config_as_they_went_in(value: str) -> None:
    conf = agent_conf({**SETTINGS, "LOG_GROUP": value})
    (file,) = yaml.safe_load(base64.b64decode(user_data(conf)))["write_files"]
    assert read(file["content"])["LOG_GROUP"] == value
    assert file["content"] == conf


def test_user_data_is_configuration_and_starts_nothing() -> None:
    text = base64.b64decode(user_data(agent_conf(SETTINGS))).decode()
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
