"""/etc/ghosthands/agent.conf: the settings of this instance. Pure.

KEY=value lines, with `#` comments on lines of their own. There is no quoting and no expansion: the value is everything
after the first `=`. The launch template's user data states every key, so the agent has no default of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA = "4"
#: All are required. The plugins that write the file know the same ones, and the same SCHEMA; a test compares them.
KEYS = (
    *("SCHEMA", "REGION", "GROUP", "TERMINATION_HOOK", "SECRET_ID", "IMAGE", "LAUNCH_HOOK", "ENDPOINT_URL"),
    *("IMAGE_FALLBACK", "DRAIN_POLICY", "DRAIN_LIMIT_SECONDS", "SPOT_LIMIT_SECONDS", "HEARTBEAT_TIMEOUT_SECONDS"),
    *("STOP_GRACE_SECONDS", "BOOT_TIMEOUT_SECONDS", "REQUIRED_KEYS", "WORKER_COMPLETES_HOOK", "LOG_GROUP"),
    *("WORKER_GUARD", "PROTECTION_LINGER_SECONDS", "LAUNCH_HOOK_TIMEOUT_SECONDS", "RETAINED_MAX"),
    *("WORKER_MEMORY", "API_MEMORY", "DEPLOY_MEMORY"),
)
OPTIONAL_KEYS = (  # an empty value means none
    *("LAUNCH_HOOK", "ENDPOINT_URL", "REQUIRED_KEYS", "LOG_GROUP"),
    *("WORKER_MEMORY", "API_MEMORY", "DEPLOY_MEMORY"),
)

#: LifecycleHook, GlobalTimeout: 172800 s or 100 times HeartbeatTimeout, whichever is smaller.
GLOBAL_TIMEOUT_SECONDS = 48 * 3600

RANGES = {  # whole numbers, both ends included; seconds where the name says so
    "DRAIN_LIMIT_SECONDS": (30, GLOBAL_TIMEOUT_SECONDS),
    "SPOT_LIMIT_SECONDS": (10, 118),  # a notice comes 120 s ahead
    "HEARTBEAT_TIMEOUT_SECONDS": (30, 7200),  # PutLifecycleHook, HeartbeatTimeout
    "STOP_GRACE_SECONDS": (1, 600),
    "BOOT_TIMEOUT_SECONDS": (60, 7200),
    "PROTECTION_LINGER_SECONDS": (0, 3600),
    "LAUNCH_HOOK_TIMEOUT_SECONDS": (30, 7200),
    "RETAINED_MAX": (0, 1000),
}
CHOICES = {
    "IMAGE_FALLBACK": ("never", "baked"),
    "DRAIN_POLICY": ("wait_idle", "http", "sigterm"),
    "WORKER_COMPLETES_HOOK": ("false", "true"),
    "WORKER_GUARD": ("off", "preferred", "required"),
}
REGION = r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}"
MEMORY = (r"[1-9][0-9]{0,5}[mg]", "a whole number and m or g, such as 3g")
#: In MiB. The browser's /dev/shm counts into the worker's limit, and is 1 GB in the image's compose file.
LEAST_MEMORY = {"WORKER_MEMORY": 1024, "API_MEMORY": 64, "DEPLOY_MEMORY": 64}
SHAPES = {  # key -> the pattern of the whole value, and its description
    "REGION": (REGION, "a region such as us-east-1"),
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
    **dict.fromkeys(LEAST_MEMORY, MEMORY),
}


class BadSettings(ValueError):
    """agent.conf is not valid. The text names every key concerned and what to write."""


@dataclass(frozen=True)
class Settings:
    """The values of agent.conf. Durations are in seconds.

    Attributes:
        required_keys: keys that the secret must hold; `A|B`: one of them.
        worker_guard: whether the worker runs with the guard; `required`: boot fails without one.
        protection_linger_seconds: how long scale-in protection stays after a job.
        launch_hook_timeout_seconds: the launch hook's HeartbeatTimeout.
        retained_max: so many retained instances may the group have before a drain that lost a job retains no more.
        worker_memory, api_memory, deploy_memory: memory limits of the services, in Compose's form; None: as in the
            machine image's compose file.
    """

    region: str
    group: str
    termination_hook: str
    secret_id: str
    image: str
    launch_hook: str | None
    endpoint_url: str | None
    image_fallback: Literal["never", "baked"]
    drain_policy: Literal["wait_idle", "http", "sigterm"]
    drain_limit_seconds: int
    spot_limit_seconds: int
    heartbeat_timeout_seconds: int
    stop_grace_seconds: int
    boot_timeout_seconds: int
    required_keys: tuple[str, ...]
    worker_completes_hook: bool
    log_group: str | None
    worker_guard: Literal["off", "preferred", "required"]
    protection_linger_seconds: int
    launch_hook_timeout_seconds: int
    retained_max: int
    worker_memory: str | None
    api_memory: str | None
    deploy_memory: str | None

    @property
    def worker_hook(self) -> str:
        """The hook's name in the worker's environment: a name that no hook has, unless the worker is to complete it.

        The worker completes the hook of that name on every SIGTERM, also for deployments and while a job runs
        (docs/agent.md).
        """
        return self.termination_hook if self.worker_completes_hook else f"{self.termination_hook}-is-the-agents"


def parse(text: str) -> Settings:
    """The settings in agent.conf's text.

    :raises BadSettings: with every problem at once, a sentence each.
    """
    values: dict[str, str] = {}
    problems = list(_read_lines(text, values))
    schema = values.get("SCHEMA", SCHEMA)
    if schema != SCHEMA:
        problems.append(
            f"SCHEMA is {schema!r}, this agent reads {SCHEMA}: "
            "build the machine image and the launch template from one release."
        )
    problems += [f"{key} is not a key of agent.conf." for key in values if key not in KEYS]
    problems += [f"{key} is missing." for key in KEYS if key not in values]
    problems += [problem for key, value in values.items() for problem in _invalid(key, value)]
    if not problems:
        problems = list(_conflicts(settings := _settings(values)))
    if problems:
        raise BadSettings(" ".join(problems))
    return settings


def _read_lines(text: str, values: dict[str, str]) -> Iterator[str]:
    """Fill `values`; yields what is wrong with lines."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            yield f"Line {number} is not KEY=value."
        elif key in values:
            yield f"{key} is given twice."
        else:
            values[key] = value


def _invalid(key: str, value: str) -> Iterator[str]:
    """What is wrong with one key's value."""
    if not value and key in OPTIONAL_KEYS:
        return
    if key in CHOICES and value not in CHOICES[key]:
        yield f"{key} is {value!r}: write {' or '.join(CHOICES[key])}."
    if key in SHAPES and not re.fullmatch(SHAPES[key][0], value):
        yield f"{key} is {value!r}: write {SHAPES[key][1]}."
    elif key in LEAST_MEMORY and int(value[:-1]) * (1024 if value.endswith("g") else 1) < LEAST_MEMORY[key]:
        yield f"{key} is {value!r}: write at least {LEAST_MEMORY[key]}m."
    if key in RANGES:
        low, high = RANGES[key]
        if not re.fullmatch(r"[0-9]{1,7}", value) or not low <= int(value) <= high:
            unit = "whole seconds" if key.endswith("_SECONDS") else "a whole number"
            yield f"{key} is {value!r}: write {unit} from {low} to {high}."


def _settings(values: Mapping[str, str]) -> Settings:
    converted: dict[str, Any] = {key.lower(): value or None for key, value in values.items() if key != "SCHEMA"}
    converted |= {key.lower(): int(values[key]) for key in RANGES}
    converted["required_keys"] = tuple(filter(None, values["REQUIRED_KEYS"].split(",")))
    converted["worker_completes_hook"] = values["WORKER_COMPLETES_HOOK"] == "true"
    return Settings(**converted)


def _conflicts(settings: Settings) -> Iterator[str]:
    """Rules across keys; plugins/module_utils/_fleet/checks/settings.py states the same ones for `fleet_*`."""
    heartbeat = settings.heartbeat_timeout_seconds
    ceiling = min(GLOBAL_TIMEOUT_SECONDS, 100 * heartbeat)
    drain = settings.drain_limit_seconds + settings.stop_grace_seconds
    if drain > ceiling:
        yield (
            f"DRAIN_LIMIT_SECONDS and STOP_GRACE_SECONDS need {drain} s, "
            f"but HEARTBEAT_TIMEOUT_SECONDS {heartbeat} holds an instance for {ceiling} s at most."
        )
    if settings.launch_hook == settings.termination_hook:
        yield "LAUNCH_HOOK and TERMINATION_HOOK are the same: a hook has one transition."
    if settings.worker_completes_hook and settings.drain_policy == "wait_idle":
        yield "WORKER_COMPLETES_HOOK is for DRAIN_POLICY http and sigterm: with wait_idle the agent completes the hook."
    if settings.worker_completes_hook and settings.worker_guard != "off":
        yield (
            "WORKER_COMPLETES_HOOK needs WORKER_GUARD off: "
            "beside the guard the agent completes the hook, as it alone knows whether a job was lost."
        )
    if settings.worker_guard == "required" and settings.drain_policy == "sigterm":
        yield (
            "WORKER_GUARD is required and DRAIN_POLICY is sigterm, which does not use the guard: "
            "write DRAIN_POLICY wait_idle."
        )
