"""A valid agent.conf, with the values that playbooks/group_vars/all.yml gives a fleet in most of its keys."""

from __future__ import annotations

import json

from ghosthands_agent.settings import SCHEMA, Settings, parse

REQUIRED_KEYS = (
    *("SUPABASE_URL", "SUPABASE_SECRET_KEY", "SUPABASE_PUBLISHABLE_KEY", "DATABASE_URL", "DATABASE_DIRECT_URL"),
    *("GH_SERVICE_SECRET", "GH_ENCRYPTION_KEY|GH_CREDENTIAL_KEY", "GH_DEPLOY_SECRET", "GH_ENVIRONMENT"),
    "SILICONFLOW_API_KEY|OPENAI_API_KEY|ANTHROPIC_API_KEY|GOOGLE_API_KEY|DEEPSEEK_API_KEY",
)
TERMINATION_HOOK, LAUNCH_HOOK = "gh-worker-termination", "gh-worker-launch"
VALUES = {
    "SCHEMA": SCHEMA,
    "REGION": "us-east-1",
    "GROUP": "gh-worker-asg",
    "TERMINATION_HOOK": TERMINATION_HOOK,
    "SECRET_ID": "ghosthands/worker/env",
    "IMAGE": "registry.internal:5000/ghosthands:1",
    "LAUNCH_HOOK": "",
    "ENDPOINT_URL": "",
    "IMAGE_FALLBACK": "never",
    "DRAIN_POLICY": "wait_idle",
    "DRAIN_LIMIT_SECONDS": "2100",
    "SPOT_LIMIT_SECONDS": "110",
    "HEARTBEAT_TIMEOUT_SECONDS": "300",
    "STOP_GRACE_SECONDS": "60",
    "BOOT_TIMEOUT_SECONDS": "900",
    "REQUIRED_KEYS": ",".join(REQUIRED_KEYS),
    "WORKER_COMPLETES_HOOK": "false",
    "LOG_GROUP": "",
    "WORKER_GUARD": "preferred",
    "PROTECTION_LINGER_SECONDS": "60",
    "LAUNCH_HOOK_TIMEOUT_SECONDS": "900",
    "RETAINED_MAX": "3",
    "WORKER_MEMORY": "",
    "API_MEMORY": "",
    "DEPLOY_MEMORY": "",
}


def conf(**changes: str) -> str:
    """The file's text, with other values for some keys."""
    return "".join(f"{key}={value}\n" for key, value in (VALUES | changes).items())


def settings(**changes: str) -> Settings:
    """The same as the agent reads it."""
    return parse(conf(**changes))


IMAGE, BAKED_IMAGE = f"registry/ghosthands@sha256:{'a' * 64}", f"registry/ghosthands@sha256:{'b' * 64}"
SETTINGS = settings(IMAGE=IMAGE)
#: A secret with all keys that these settings require.
SECRET = json.dumps({rule.partition("|")[0]: "a value" for rule in REQUIRED_KEYS})
