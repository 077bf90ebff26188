# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent's boot accepts as the worker's secret: a JSON object of strings, or dotenv text.

Standard library only.
Messages name keys and lines, never a value. The agent has the same rules (agent/src/ghosthands_agent/environment.py);
a table of cases holds the two together (tests/house/test_worker_secret.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VALUE_BYTES = 65536  # CreateSecret, SecretString: "Maximum length of 65536" bytes
#: Each instance has its own; the agent refuses them inside of the secret.
INSTANCE_KEYS = frozenset(
    "EC2_INSTANCE_ID EC2_IP AWS_ASG_NAME AWS_LIFECYCLE_HOOK_NAME AWS_REGION ECR_IMAGE GH_WORKER_ID".split()
)
RESERVED_PREFIXES = ("COMPOSE_", "DOCKER_")  # Compose would take them for its own settings
PORTS = {"GH_WORKER_PORT": "3101", "GH_API_PORT": "3100"}
#: The one key of a secret that earlier releases created for operators to fill in.
PLACEHOLDER = "GH_PLACEHOLDER"


class BadSecret(ValueError):
    """The text is no secret of a worker. The message holds no value."""


@dataclass(frozen=True)
class SecretKeys:
    """What is known of a secret's value once the value is forgotten."""

    names: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    """one sentence for each reason for which boot refuses it"""


def keys(text: str | None, required: Collection[str]) -> SecretKeys:
    """The names of its keys, and why boot would refuse it."""
    if text is None or not text.strip():
        return SecretKeys(problems=("It is empty.",))
    try:
        values = parsed(text)
    except BadSecret as error:
        return SecretKeys(problems=(str(error),))
    if PLACEHOLDER in values:
        return SecretKeys(frozenset(values), ("It is still the placeholder.",))
    return SecretKeys(frozenset(values), (*unusable(values), *missing(values, required)))


def parsed(text: str) -> dict[str, Any]:
    """Keys and values, of any type, unchanged. Raises BadSecret."""
    if len(text.encode("utf-8", "surrogatepass")) > VALUE_BYTES:
        raise BadSecret(f"It has more than {VALUE_BYTES} bytes.")
    return _json(text) if text.lstrip().startswith(("{", "[", '"')) else _dotenv(text)


def unusable(values: Mapping[str, Any]) -> Iterator[str]:
    """Why boot would refuse keys that are there."""
    for key, value in values.items():
        if not NAME.fullmatch(key):
            yield f"{_printable(key)} is not a name (letters, digits, underscores)."
        elif key in INSTANCE_KEYS:
            yield f"{key} is each instance's own: take it out."
        elif key.startswith(RESERVED_PREFIXES):
            yield f"{key} would configure Compose, not the worker: take it out."
        elif not isinstance(value, str):
            yield f"{key} is not a string."
        elif "\0" in value:
            yield f"{key} holds a NUL byte."
        elif re.search("[\ud800-\udfff]", value):
            yield f"{key} is not Unicode text."
        elif key in PORTS and value != PORTS[key]:
            yield f"{key} is not {PORTS[key]}, which is the port that the fleet opens."


def missing(values: Mapping[str, Any], required: Collection[str]) -> Iterator[str]:
    """Required keys without a value."""
    for rule in required:
        if not any(values.get(name) for name in rule.split("|")):
            yield f"{' or '.join(rule.split('|'))} is missing or empty."


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except (json.JSONDecodeError, RecursionError):
        value = None  # the decoder's error holds the text, so it must not become the context of the error below
    if not isinstance(value, dict):
        raise BadSecret("It is neither a JSON object nor KEY=value lines.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [key for key, _its in pairs]
    if twice := sorted({_printable(key) for key in names if names.count(key) > 1}):
        raise BadSecret(f"It has {', '.join(twice)} twice.")
    return dict(pairs)


# A line of dotenv text: optional `export`, a name, and a value in single quotes, in double quotes, or unquoted.
_STATEMENT = re.compile(
    r"""(?:export[ \t]+)?(?P<key>[^\s=#'"]+)[ \t]*=[ \t]*
        (?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>(?!['"])[^\n]*))
        (?P<after>[^\n]*)(?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_NOTHING = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
_COMMENT = re.compile(r"[ \t\r]*(#.*)?", re.DOTALL)
_ESCAPE = re.compile(r"\\([abfnrtv\"\\$])")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _dotenv(text: str) -> dict[str, Any]:
    text, position = text.removeprefix("\ufeff"), 0
    pairs: list[tuple[str, Any]] = []
    while position < len(text):
        if (blank := _NOTHING.match(text, position)) and blank.end() > position:
            position = blank.end()
            continue
        begin = len(text) - len(text[position:].lstrip(" \t"))
        found = _STATEMENT.match(text, begin)
        if not found or not NAME.fullmatch(found["key"]) or not _COMMENT.fullmatch(found["after"] or ""):
            line = text.count("\n", 0, position) + 1  # only its number: a broken line may be part of a value
            raise BadSecret(f"It is not a JSON object, and line {line} is not KEY=value.")
        pairs.append((found["key"], _value(found)))
        position = found.end()
    return _unique(pairs)


def _value(found: re.Match[str]) -> str:
    if (single := found["single"]) is not None:
        return re.sub(r"\\(['\\])", lambda escape: "'" if escape[1] == "'" else "\\\\", single)
    if (double := found["double"]) is not None:
        return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), double)
    return found["bare"].split(" #", 1)[0].strip(" \t\r\f\v")


def _printable(key: str) -> str:
    """A key for a message: printable ASCII and short, since an invalid name may be a misplaced value."""
    return ascii(key if len(key) <= 40 else f"{key[:8]}...")
