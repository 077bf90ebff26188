"""The secret is a contract between its writer and the agent's boot: both accept the same texts, and read the same."""

from __future__ import annotations

import json

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_secret
from ghosthands_agent import environment as agent
from ghosthands_agent import paths

REQUIRED = ("A", "B|C")
GOOD = '{"A": "a", "B": "b"}'
ACCEPTED = [
    GOOD,
    '  \n{"A": "a", "C": "c", "D": ""}',
    "A=a\nB=b\n",
    "export A=a # comment\n\n# line\n  C = 'it\\'s' \n",
    'A="x\\n\\"y\\" \\$z"\nB=\'two\nlines\'\n',
    "\ufeffA=a\r\nB=b\r\n",
    "A=a#b\nB=b #c\n",
    "A='back\\\\slash'\nB=b",
    '{"A": "a", "B": "b", "GH_WORKER_PORT": "3101", "GH_API_PORT": "3100"}',
    '{"A": "\\u00e9\\ud83d\\ude00", "B": "$x ${y}"}',
]
REFUSED = [
    "",
    " \n",
    "{",
    "[]",
    '"text"',
    "{}",
    '{"A": "a"}',
    '{"A": "a", "B": ""}',
    '{"A": 1, "B": "b"}',
    '{"A": "a", "A": "b", "B": "b"}',
    "A=a\nA=b\nB=b\n",
    "A=a\nB=b\nnot a line\n",
    "A='open\nB=b\n",
    'A="a" trailing\nB=b\n',
    "A-B=a\nA=a\nB=b\n",
    '{"A": "a", "B": "b", "x-y": "z"}',
    '{"A": "a", "B": "b", "COMPOSE_FILE": "z"}',
    '{"A": "a", "B": "b", "DOCKER_HOST": "z"}',
    '{"A": "a\\u0000", "B": "b"}',
    '{"A": "\\ud800", "B": "b"}',
    '{"A": "a", "B": "b", "GH_WORKER_PORT": "1"}',
    '{"A": "a", "B": "b", "GH_API_PORT": "1"}',
    '{"GH_PLACEHOLDER": "fill in the keys of runbook section 9 and remove this one"}',
    "[" * 100000,
    "A=" + "x" * 65536 + "\nB=b\n",
    *(json.dumps({"A": "a", "B": "b", key: "x"}) for key in agent.INSTANCE_KEYS),
]
INSTANCE = dict.fromkeys(agent.INSTANCE_KEYS, "i")


@pytest.mark.parametrize("text", ACCEPTED)
def test_both_accept_it_and_read_the_same_values(text: str) -> None:
    assert worker_secret.keys(text, REQUIRED).problems == ()
    agent.environment(text, INSTANCE, REQUIRED)
    assert worker_secret.parsed(text) == agent._read(text)


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_both_refuse_it(text: str) -> None:
    assert worker_secret.keys(text, REQUIRED).problems
    with pytest.raises(agent.BadSecret):
        agent.environment(text, INSTANCE, REQUIRED)


def test_both_name_the_same_keys() -> None:
    assert frozenset(agent.INSTANCE_KEYS) == worker_secret.INSTANCE_KEYS
    assert agent.RESERVED_PREFIXES == worker_secret.RESERVED_PREFIXES
    assert agent.VALUE_BYTES == worker_secret.VALUE_BYTES
    assert {"GH_WORKER_PORT": str(paths.WORKER_PORT), "GH_API_PORT": str(paths.API_PORT)} == worker_secret.PORTS
