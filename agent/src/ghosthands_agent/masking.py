"""What a command or a log says, without the secrets of this host: for the journal, boot.json, doctor and bundles."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from .paths import Paths
from .ports import SERVICES

MASK = "***"
LINES, LINE_CHARACTERS, CHARACTERS = 8, 300, 900  # the cause is in the last lines, and a line of the journal is short
#: So many characters in a row of a secret are masked wherever they appear; a shorter value only as a whole word.
WINDOW, SHORTEST = 8, 4
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
LINE = re.compile(r"^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=")
#: A key with its value, as environment.quoted writes it and as people do; a quoted value may have several lines.
ASSIGNMENT = re.compile(
    r"""^(?:export[ ]+)?([A-Za-z_][A-Za-z0-9_]*)=(?:'([^']*)'|"((?:\\.|[^"\\])*)"|([^\n]*))[ \t]*$""",
    re.DOTALL | re.MULTILINE,
)
#: Secrets by their form: private keys, credentials and signatures in addresses, headers, key ids of AWS, JSON Web
#: Tokens, keys of well-known services.
FORMS = (
    (re.compile(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL), MASK),
    (re.compile(r"(?<=://)[^\s/@]+(?=@)"), MASK),
    (re.compile(r"(?<=[?&])([A-Za-z0-9_.-]+)=[^\s&\"']+"), rf"\1={MASK}"),
    (re.compile(r"(?i)\b(authorization|x-[a-z-]*token)(\"?\s*[:=]\s*)(?:(?:basic|bearer)\s+)?\S+"), rf"\1\2{MASK}"),
    (re.compile(r"(?i)\b(password|passwd|secret|token|api_?key)(\"?\s*[:=]\s*)\S+"), rf"\1\2{MASK}"),
    (re.compile(r"(?i)(secret_?access_?key|session_?token)(\"?\s*[:=]\s*)\S+"), rf"\1\2{MASK}"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), MASK),
    (re.compile(r"\b(?:sk|pk|sb_secret|sb_publishable|gh[opsu]|github_pat)[-_][A-Za-z0-9_-]{16,}"), MASK),
)


def last_lines(text: str) -> str:
    """The last lines that are not blank, each once, without terminal escapes."""
    lines = [ESCAPES.sub("", line.rpartition("\r")[2] or line).strip()[:LINE_CHARACTERS] for line in text.split("\n")]
    distinct = list(dict.fromkeys(line for line in reversed(lines) if line))[:LINES]
    while len(distinct) > 1 and sum(map(len, distinct)) > CHARACTERS:
        distinct.pop()
    return "\n".join(reversed(distinct))


class Mask:
    """Masks secrets in texts, in each way in which programs write them down, also where they are wrapped over lines.

    Args:
        secrets: values. One of fewer than SHORTEST characters cannot be told from other text, and is not masked.
        public: text that is no secret, such as the compose file: what it holds is not masked.
    """

    def __init__(self, secrets: Iterable[str], public: str) -> None:
        known = _windows(public)
        shown = {form for value in secrets if len(value) >= SHORTEST for form in written_forms(value)}
        self._windows = {window for form in shown for window in _windows(form)} - known
        short = sorted({form for form in map(_joined, shown) if SHORTEST <= len(form) < WINDOW and form not in public})
        self._words = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, short))})(?!\w)") if short else None

    def __call__(self, text: str) -> str:
        for form, mask in FORMS:
            text = form.sub(mask, text)
        hidden = bytearray(len(text))
        places = [place for place, letter in enumerate(text) if not letter.isspace()]
        joined = "".join([text[place] for place in places])
        for start in range(len(joined) - WINDOW + 1):
            if joined[start : start + WINDOW] in self._windows:
                first, last = places[start], places[start + WINDOW - 1]
                hidden[first : last + 1] = b"\1" * (last + 1 - first)
        for found in self._words.finditer(text) if self._words else ():
            hidden[found.start() : found.end()] = b"\1" * (found.end() - found.start())
        if not any(hidden):
            return text
        return re.sub(
            "\0+", MASK, "".join(["\0" if hide else letter for letter, hide in zip(text, hidden, strict=True)])
        )


def written_forms(value: str) -> Iterator[str]:
    """The ways in which programs write a value down: as it is, quoted, escaped and encoded."""
    for text in dict.fromkeys((value, *(unicodedata.normalize(form, value) for form in ("NFC", "NFD")))):
        yield text
        for ascii_only in (True, False):
            once = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
            yield once
            yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]  # a line of JSON within JSON, as docker logs it
        yield text.replace("/", "\\/")
        yield repr(text)[1:-1]
        yield ascii(text)[1:-1]
        yield re.sub(r'[\\"$`]', r"\\\g<0>", text)  # in double quotes of a shell and of a .env
        for apostrophe in ("'\\''", "'\"'\"'"):  # in single quotes of a shell
            yield text.replace("'", apostrophe)
        yield re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", text)  # bash's printf %q
        yield text.replace("$", "$$")  # compose config
        for safe in ("", "/"):
            encoded = quote(text, safe=safe)
            yield encoded
            yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
        yield quote_plus(text)
        yield (
            text.replace("&", "&amp;")
            .replace("<", "&lt;")
            .replace(">", "&gt;")
            .replace('"', "&quot;")
            .replace("'", "&#39;")
        )
        data = text.encode(errors="replace")
        yield data.hex()
        yield data.hex().upper()
        for shift in range(3):  # it may begin anywhere in what was encoded, as a password does in user:password
            encoded = base64.b64encode(bytes(shift) + data).decode()
            inner = encoded[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
            yield inner
            yield inner.replace("+", "-").replace("/", "_")


def _joined(text: str) -> str:
    return "".join(text.split())


def _windows(text: str) -> set[str]:
    joined = _joined(text)
    return {joined[start : start + WINDOW] for start in range(len(joined) - WINDOW + 1)}


def mask_of(environment: str, public: str) -> Mask:
    """The mask for the text of a `.env`, or of several. What the instance has of its own there is public."""
    from .environment import INSTANCE_KEYS  # nothing of boot, unless a command fails

    values = list(_values(environment))
    own = [value for key, value in values if key in INSTANCE_KEYS]
    secrets = [value for key, value in values if key not in INSTANCE_KEYS]
    return Mask([part for value in secrets for part in (value, *_parts(value))], "\n".join((public, *own)))


def _values(environment: str) -> Iterator[tuple[str, str]]:
    """Keys and values, unquoted, a value of several lines whole; then line by line, for what is no valid `.env`."""
    spans = []
    for found in ASSIGNMENT.finditer(environment):
        key, single, double, bare = found.groups()
        yield key, next((text for text in (single, bare) if text is not None), "") or _unescaped(double or "")
        spans.append((key, found.span()))
    place = 0
    for number, line in enumerate(environment.split("\n")):
        found_key = LINE.match(line)
        within = next((key for key, (first, last) in spans if first <= place < last), "")
        yield (
            found_key[1] if found_key else within or f" {number}",
            line[found_key.end() if found_key else 0 :].strip().strip("'\""),
        )
        place += len(line) + 1


def _unescaped(double: str) -> str:
    return re.sub(r"\\(.)", lambda found: found[1] if found[1] in '\\"$' else found[0], double, flags=re.DOTALL)


def _parts(value: str) -> Iterator[str]:
    """What a value holds: user, password and host of an address, the texts of a JSON document."""
    with contextlib.suppress(ValueError):
        address = urlsplit(value)
        for part in (address.username, address.password, address.hostname) if address.scheme else ():
            if part:
                yield part
                yield unquote(part)
    if value.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):
            yield from _texts(json.loads(value))


def _texts(document: Any) -> Iterator[str]:
    if isinstance(document, Mapping):
        document = list(document.values())
    if isinstance(document, list):
        for each in document:
            yield from _texts(each)
    elif isinstance(document, str):
        yield document


def public_text(paths: Paths) -> str:
    """What may be shown on this host: names of files and services, and the compose file."""
    try:
        compose = paths.compose_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        compose = ""
    files = map(str, (paths.project, paths.compose_file, paths.environment, paths.override))
    return "\n".join((*SERVICES, *files, compose))


def masked(text: str, environment: str, public: str) -> str:
    """The text without what is secret.

    :param environment: the text of the `.env`.
    :param public: text that is no secret: what it holds is not masked.
    """
    return mask_of(environment, public)(text)


def masking(paths: Paths) -> Callable[[str], str]:
    """A function for this host: the last lines of a command's output, masked; empty if the `.env` cannot be read."""

    def said(output: str) -> str:
        try:
            environment = paths.environment.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            environment = ""
        except OSError:
            return ""
        return masked(last_lines(output), environment, public_text(paths))

    return said
