"""/etc/ghosthands/agent.conf: what this instance is told. Pure.

KEY=value lines, `#` comments on lines of their own, no quoting, no expansion: a value is what stands after the first `=`.
plugins/module_utils/_fleet/compare/agent_conf.py writes it; a contract test holds REQUIRED and DEFAULTS of both equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA = 1
REQUIRED = ("SCHEMA", "REGION", "GROUP", "TERMINATION_HOOK", "SECRET_ID", "IMAGE")
DEFAULTS: Mapping[str, Any] = {
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
GLOBAL_TIMEOUT_SECONDS = (
    48 * 3600
)  # LifecycleHook, GlobalTimeout: 172800 s or 100 times HeartbeatTimeout, whichever is smaller

#: RUNBOOK section 9: "Required: Yes", and "at least one required" of the LLM providers' keys. `A|B`: one of them (today's worker reads GH_CREDENTIAL_KEY).
REQUIRED_KEYS = (
    *("SUPABASE_URL", "SUPABASE_SECRET_KEY", "SUPABASE_PUBLISHABLE_KEY", "DATABASE_URL", "DATABASE_DIRECT_URL"),
    *("GH_SERVICE_SECRET", "GH_ENCRYPTION_KEY|GH_CREDENTIAL_KEY", "GH_DEPLOY_SECRET", "GH_ENVIRONMENT"),
    "SILICONFLOW_API_KEY|OPENAI_API_KEY|ANTHROPIC_API_KEY|GOOGLE_API_KEY|DEEPSEEK_API_KEY",
)

RANGES = {  # seconds, both ends included
    "DRAIN_LIMIT_SECONDS": (30, GLOBAL_TIMEOUT_SECONDS),
    "SPOT_LIMIT_SECONDS": (10, 118),  # a notice comes 120 s ahead
    "HEARTBEAT_TIMEOUT_SECONDS": (30, 7200),  # PutLifecycleHook, HeartbeatTimeout
    "STOP_GRACE_SECONDS": (1, 600),
    "BOOT_TIMEOUT_SECONDS": (60, 7200),
}
CHOICES = {
    "IMAGE_FALLBACK": ("never", "baked"),
    "DRAIN_POLICY": ("wait_idle", "http", "sigterm"),
    "WORKER_COMPLETES_HOOK": ("false", "true"),
}
SHAPES = {  # key -> what the whole value must match, and that in words
    "REGION": (r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}", "a region such as us-east-1"),
    "GROUP": (r"[A-Za-z0-9 ._/=+@-]{1,255}", "1 to 255 letters, digits, blanks and . _ / = + @ -"),
    "TERMINATION_HOOK": (r"[A-Za-z0-9_/-]{1,255}", "letters, digits and - _ /, 255 at most"),
    "LAUNCH_HOOK": (r"[A-Za-z0-9_/-]{1,255}", "letters, digits and - _ /, 255 at most"),
    "SECRET_ID": (r"[A-Za-z0-9/_+=.@:-]{1,2048}", "a secret's name or ARN"),
    "IMAGE": (
        r"([a-z0-9.-]+(:\d+)?/)?[a-z0-9._/-]+(:[\w.-]{1,128})?(@sha256:[0-9a-f]{64})?",
        "an image reference such as registry/name@sha256:..., or registry/name:tag",
    ),
    "ENDPOINT_URL": (r"https?://[^\s/@]+/?", "an address such as http://127.0.0.1:5566"),
    "LOG_GROUP": (r"[A-Za-z0-9_/.#-]{1,512}", "1 to 512 letters, digits and _ - / . #"),
    "REQUIRED_KEYS": (
        r"{0}(,{0})*".format(r"[A-Z_][A-Z0-9_]*(\|[A-Z_][A-Z0-9_]*)*"),
        "names of the secret's keys with commas between them, A|B for either of two",
    ),
}


class BadSettings(ValueError):
    """agent.conf cannot be followed: the text names every key concerned and what to write."""


@dataclass(frozen=True)
class Settings:
    """agent.conf, understood. Durations in seconds.

    Attributes:
        required_keys: keys that the secret must hold; `A|B`: one of them.
    """

    region: str
    group: str
    termination_hook: str
    secret_id: str
    image: str
    launch_hook: str | None = None
    endpoint_url: str | None = None
    image_fallback: Literal["never", "baked"] = "never"
    drain_policy: Literal["wait_idle", "http", "sigterm"] = "wait_idle"
    drain_limit_seconds: int = 2100
    spot_limit_seconds: int = 110
    heartbeat_timeout_seconds: int = 300
    stop_grace_seconds: int = 60
    boot_timeout_seconds: int = 900
    required_keys: tuple[str, ...] = REQUIRED_KEYS
    worker_completes_hook: bool = False
    log_group: str | None = None

    @property
    def worker_hook(self) -> str:
        """The hook's name that the worker is told: another one than the hook's, unless the worker is to complete it.

        The worker completes that hook on every SIGTERM, deploys and a running job included (docs/agent.md).
        """
        return self.termination_hook if self.worker_completes_hook else f"{self.termination_hook}-is-the-agents"


def parse(text: str) -> Settings:
    """agent.conf's text, understood.

    :raises BadSettings: with every problem at once, a sentence each.
    """
    given: dict[str, str] = {}
    problems = list(_lines(text, given))
    problems += [f"{key} is not a key of agent.conf." for key in given if key not in (*REQUIRED, *DEFAULTS)]
    problems += [f"{key} is missing." for key in REQUIRED if key not in given]
    schema = given.get("SCHEMA", str(SCHEMA))
    if schema != str(SCHEMA):
        problems.append(
            f"SCHEMA is {schema!r}, this agent reads {SCHEMA}: build the machine image and the launch template from one release."
        )
    problems += [problem for key, value in given.items() for problem in _invalid(key, value)]
    if not problems:
        problems = list(_conflicts(settings := _settings(given)))
    if problems:
        raise BadSettings(" ".join(problems))
    return settings


def _lines(text: str, given: dict[str, str]) -> Iterator[str]:
    """Fill `given`; yields what is wrong with lines."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            yield f"Line {number} is not KEY=value."
        elif key in given:
            yield f"{key} is given twice."
        else:
            given[key] = value


def _invalid(key: str, value: str) -> Iterator[str]:
    """What is wrong with one known key's value."""
    if key in CHOICES and value not in CHOICES[key]:
        yield f"{key} is {value!r}: write {' or '.join(CHOICES[key])}."
    if key in SHAPES and not re.fullmatch(SHAPES[key][0], value):
        yield f"{key} is {value!r}: write {SHAPES[key][1]}."
    if key in RANGES:
        low, high = RANGES[key]
        if not re.fullmatch(r"[0-9]{1,7}", value) or not low <= int(value) <= high:
            yield f"{key} is {value!r}: write whole seconds from {low} to {high}."


def _settings(given: Mapping[str, str]) -> Settings:
    values: dict[str, Any] = {key.lower(): value for key, value in given.items() if key != "SCHEMA"}
    values |= {key.lower(): int(given[key]) for key in RANGES if key in given}
    if "REQUIRED_KEYS" in given:
        values["required_keys"] = tuple(given["REQUIRED_KEYS"].split(","))
    if "WORKER_COMPLETES_HOOK" in given:
        values["worker_completes_hook"] = given["WORKER_COMPLETES_HOOK"] == "true"
    return Settings(**values)


def _conflicts(settings: Settings) -> Iterator[str]:
    """Rules across keys; plugins/module_utils/_fleet/checks/settings.py states the same ones for `fleet_*`."""
    heartbeat = settings.heartbeat_timeout_seconds
    ceiling, drain = (
        min(GLOBAL_TIMEOUT_SECONDS, 100 * heartbeat),
        settings.drain_limit_seconds + settings.stop_grace_seconds,
    )
    if drain > ceiling:
        yield f"DRAIN_LIMIT_SECONDS and STOP_GRACE_SECONDS need {drain} s, but HEARTBEAT_TIMEOUT_SECONDS {heartbeat} holds an instance for {ceiling} s at most."
    if settings.launch_hook == settings.termination_hook:
        yield "LAUNCH_HOOK and TERMINATION_HOOK are the same: a hook has one transition."
    if settings.worker_completes_hook and settings.drain_policy == "wait_idle":
        yield "WORKER_COMPLETES_HOOK is for DRAIN_POLICY http and sigterm: with wait_idle the agent completes the hook."
