"""agent.conf is the contract between the launch template and the agent: plugins, agent and image agree on it."""

from __future__ import annotations

import re

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import agent_conf
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import (
    KEYS,
    OPTIONAL_KEYS,
    SCHEMA,
)
from ghosthands_agent import settings as agent
from model.agent_conf import VALUES

from tests.house import repository


def test_plugins_agent_and_image_agree_on_schema_and_keys() -> None:
    assert (SCHEMA, KEYS, OPTIONAL_KEYS) == (agent.SCHEMA, agent.KEYS, agent.OPTIONAL_KEYS)
    written = agent_conf({key: value for key, value in VALUES.items() if key != "SCHEMA"})
    assert agent.parse(written) == agent.parse("".join(f"{key}={value}\n" for key, value in VALUES.items()))
    image = repository.text("packer/variables.pkr.hcl")
    assert re.findall(r'"ghosthands:agent-schema" *= "(\d+)"', image) == [SCHEMA]
