"""The worker's `.env`: the secret's keys, then this instance's, quoted so that Compose reads back each value. Pure.

No message contains a value of the secret: problems name keys and lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .paths import API_PORT, WORKER_PORT, Paths
from .ports import Instance
from .settings import Settings

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # IEEE Std 1003.1, 3.231 Name
VALUE_BYTES = 65536  # CreateSecret, SecretString: "Maximum length of 65536" bytes

#: RUNBOOK section 9, "Instance-Specific Variables", and the worker's id: a generated one would change at every restart,
#: a shared one would collide.
INSTANCE_KEYS = (
    "EC2_INSTANCE_ID",
    "EC2_IP",
    "AWS_ASG_NAME",
    "AWS_LIFECYCLE_HOOK_NAME",
    "AWS_REGION",
    "ECR_IMAGE",
    "GH_WORKER_ID",
)
RESERVED_PREFIXES = ("COMPOSE_", "DOCKER_")  # Compose reads these of the .env as its own settings


class BadSecret(ValueError):
    """The secret is not valid. The text names every key and line concerned, and no value."""


def environment(
    secret: str,
    instance: Mapping[str, str],
    required: Collection[str],
    worker_port: int = WORKER_PORT,
    api_port: int = API_PORT,
) -> str:
    """The `.env`'s text, with the instance's keys last.

    :param secret: a JSON object of strings, or dotenv text.
    :param instance: a value for each of INSTANCE_KEYS.
    :param required: keys that must have a value in the secret; `A|B`: one of them.
    :param worker_port: the worker's port. A secret with another one is refused.
    :param api_port: the api's port, likewise.
    :raises BadSecret: with every problem at once.
    """
    values = _read(secret)
    ports = {"GH_WORKER_PORT": worker_port, "GH_API_PORT": api_port}
    problems = [*_invalid(values), *_missing(values, required)]
    problems += [f"{key} is given: it is this instance's own, take it out." for key in INSTANCE_KEYS if key in values]
    problems += [
        f"{key} is not {port}, which is the port that the fleet opens."
        for key, port in ports.items()
        if values.get(key, str(port)) != str(port)
    ]
    if problems:
        raise BadSecret(f"The secret cannot be used. {' '.join(problems)}")
    return "".join(f"{key}={quoted(value)}\n" for key, value in (values | instance_values(instance)).items())


def worker_environment(settings: Settings, paths: Paths, instance: Instance, secret: str, image: str) -> str:
    """The `.env`'s text for the worker of this instance. Raises BadSecret."""
    values = {
        "EC2_INSTANCE_ID": instance.id,
        "EC2_IP": instance.public_ip or instance.local_ip,  # VALET reaches workers by their public address
        "AWS_ASG_NAME": settings.group,
        "AWS_LIFECYCLE_HOOK_NAME": settings.worker_hook,
        "AWS_REGION": settings.region,
        "ECR_IMAGE": image,
        "GH_WORKER_ID": instance.id,
    }
    return environment(secret, values, settings.required_keys, paths.worker_port, paths.api_port)


def with_image(text: str, image: str) -> str:
    """The `.env`'s text with another worker image. The instance's keys are last: the last line of that name is it."""
    found = list(re.finditer(r"^ECR_IMAGE=.*\n", text, re.MULTILINE))
    if not found:
        return f"{text}ECR_IMAGE={quoted(image)}\n"
    return f"{text[: found[-1].start()]}ECR_IMAGE={quoted(image)}\n{text[found[-1].end() :]}"


def instance_values(instance: Mapping[str, str]) -> dict[str, str]:
    """`instance` in the order of INSTANCE_KEYS. Raises KeyError where one is missing."""
    return {key: instance[key] for key in INSTANCE_KEYS}


def quoted(value: str) -> str:
    r"""`value` as Compose's parser (compose-go, dotenv/parser.go) reads it back.

    Single quotes keep everything but a single quote, and a backslash before the closing one counts as an escape. Other
    values get double quotes, where `\\`, `\"` and `\$` mean the character itself and everything else stays, also line
    breaks.
    """
    if "'" not in value and not value.endswith("\\"):
        return f"'{value}'"
    return '"' + re.sub(r'[\\"$]', r"\\\g<0>", value) + '"'


def _read(secret: str) -> dict[str, Any]:
    """The secret's keys and values, of any type, unchanged. Raises BadSecret."""
    if not secret.strip():
        raise BadSecret("The secret is empty.")
    if len(secret.encode("utf-8", "surrogatepass")) > VALUE_BYTES:
        raise BadSecret(f"The secret has more than {VALUE_BYTES} bytes.")
    if secret.lstrip().startswith(("{", "[", '"')):
        return _json(secret)
    return _dotenv(secret)


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except (json.JSONDecodeError, RecursionError):
        value = None  # the decoder's error holds the text, so it must not become the context of the error below
    if not isinstance(value, dict):
        raise BadSecret("The secret is neither a JSON object nor KEY=value lines.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _value_given in pairs]
    if twice := sorted({_printable(key) for key in keys if keys.count(key) > 1}):
        raise BadSecret(f"The secret gives {', '.join(twice)} twice.")
    return dict(pairs)


# A statement of dotenv text: optional `export`, a name, and a value in single quotes, in double quotes, or unquoted.
_STATEMENT = re.compile(
    r"""(?:export[ \t]+)?(?P<key>[^\s=#'"]+)[ \t]*=[ \t]*
        (?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>(?!['"])[^\n]*))
        (?P<rest>[^\n]*)(?:\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_NOTHING = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPE = re.compile(r"\\([abfnrtv\"\\$])")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _dotenv(text: str) -> dict[str, Any]:
    """dotenv text as Compose reads it, except that `$` has no special meaning. Raises BadSecret."""
    text = text.removeprefix("\ufeff")
    pairs: list[tuple[str, Any]] = []
    position = 0
    while position < len(text):
        blank = _NOTHING.match(text, position)
        if blank and blank.end() > position:
            position = blank.end()
            continue
        indent = len(text[position:]) - len(text[position:].lstrip(" \t"))
        found = _STATEMENT.match(text, position + indent)
        if (
            not found
            or not NAME.fullmatch(found["key"])
            or not re.fullmatch(r"[ \t\r]*(#.*)?", found["rest"] or "", re.DOTALL)
        ):
            line = text.count("\n", 0, position) + 1  # only its number: a broken line may be part of a value
            raise BadSecret(f"The secret is not a JSON object, and line {line} is not KEY=value.")
        pairs.append((found["key"], _value(found)))
        position = found.end()
    return _unique(pairs)


def _value(found: re.Match[str]) -> str:
    if (single := found["single"]) is not None:
        return re.sub(r"\\(['\\])", lambda escape: "'" if escape[1] == "'" else "\\\\", single)
    if (double := found["double"]) is not None:
        return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), double)
    return found["bare"].split(" #", 1)[0].strip(" \t\r\f\v")


def _invalid(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if not NAME.fullmatch(key):
            yield f"{_printable(key)} is not a name (letters, digits, underscores)."
        elif key.startswith(RESERVED_PREFIXES):
            yield f"{key} would configure Compose, not the worker."
        elif not isinstance(value, str):
            yield f"{key} is not a string."
        elif "\0" in value:
            yield f"{key} holds a NUL byte."
        elif re.search("[\ud800-\udfff]", value):
            yield f"{key} is not Unicode text."
        elif len(value.encode()) > VALUE_BYTES:
            yield f"{key} has more than {VALUE_BYTES} bytes."


def _missing(values: Mapping[str, Any], required: Collection[str]) -> Iterator[str]:
    for rule in required:
        if not any(values.get(name) for name in rule.split("|")):
            yield f"{' or '.join(rule.split('|'))} is missing or empty."


def _printable(key: str) -> str:
    """A key for a message: printable ASCII and short, since an invalid name may be a misplaced value."""
    return ascii(key if len(key) <= 40 else f"{key[:8]}...")
