"""What a command wrote, without the secrets of this host: its last lines, for the journal, boot.json and doctor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .paths import Paths
from .ports import SERVICES

MASK = "***"
LINES, LINE_CHARACTERS, CHARACTERS = 8, 300, 900  # the cause is in the last lines, and a line of the journal is short
#: So many characters in a row of a secret are masked wherever they appear; a shorter value only as a whole word.
WINDOW, SHORTEST = 8, 4
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
LINE = re.compile(r"^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=")
#: Secrets by their form: credentials and signatures in addresses, headers, AWS's key ids, JSON Web Tokens.
FORMS = (
    (re.compile(r"(?<=://)[^\s/@]+(?=@)"), MASK),
    (re.compile(r"(?<=[?&])([A-Za-z0-9_.-]+)=[^\s&\"']+"), rf"\1={MASK}"),
    (re.compile(r"(?i)\b(authorization|x-[a-z-]*token)(\"?\s*[:=]\s*)(?:(?:basic|bearer)\s+)?\S+"), rf"\1\2{MASK}"),
    (re.compile(r"(?i)\b(password|passwd|secret|token|api_?key)(\"?\s*[:=]\s*)\S+"), rf"\1\2{MASK}"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), MASK),
)


def last_lines(text: str) -> str:
    """The last lines that are not blank, each once, without terminal escapes."""
    lines = [ESCAPES.sub("", line.rpartition("\r")[2] or line).strip()[:LINE_CHARACTERS] for line in text.split("\n")]
    distinct = list(dict.fromkeys(line for line in reversed(lines) if line))[:LINES]
    while len(distinct) > 1 and sum(map(len, distinct)) > CHARACTERS:
        distinct.pop()
    return "\n".join(reversed(distinct))


def masked(text: str, environment: str, public: str) -> str:
    """The text without what is secret.

    :param environment: the text of the `.env`.
    :param public: text that is no secret, such as the compose file: what it holds is not masked.
    """
    from .environment import INSTANCE_KEYS  # nothing of boot, unless a command fails

    for form, mask in FORMS:
        text = form.sub(mask, text)
    values = dict(_values(environment))
    public += "\n" + "\n".join(value for key, value in values.items() if key in INSTANCE_KEYS)
    secrets = [value for key, value in values.items() if key not in INSTANCE_KEYS]
    hidden = [False] * len(text)
    together = "\n".join(secrets)
    for start in range(len(text) - WINDOW + 1):
        window = text[start : start + WINDOW]
        if "\n" not in window and window in together and window not in public:
            hidden[start : start + WINDOW] = [True] * WINDOW
    for value in secrets:
        if SHORTEST <= len(value) < WINDOW and value not in public:
            for found in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text):
                hidden[found.start() : found.end()] = [True] * len(value)
    return re.sub("\0+", MASK, "".join("\0" if hide else letter for letter, hide in zip(text, hidden, strict=True)))


def _values(environment: str) -> Iterator[tuple[str, str]]:
    """Keys and values, unquoted. A line that continues a value counts as a value of its own."""
    for number, line in enumerate(environment.split("\n")):
        found = LINE.match(line)
        yield found[1] if found else f" {number}", line[found.end() if found else 0 :].strip().strip("'\"")


def masking(paths: Paths) -> Callable[[str], str]:
    """A function for this host: the last lines of a command's output, masked; empty if the `.env` cannot be read."""
    names = "\n".join((*SERVICES, *map(str, (paths.project, paths.compose_file, paths.environment, paths.override))))

    def said(output: str) -> str:
        try:
            environment = paths.environment.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            environment = ""
        except OSError:
            return ""
        try:
            compose = paths.compose_file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            compose = ""
        return masked(last_lines(output), environment, f"{names}\n{compose}")

    return said
