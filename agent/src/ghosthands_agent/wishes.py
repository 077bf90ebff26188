"""What an operator wants of this instance, and what its agent answers: the texts of two instance tags. Pure.

`ghosthands:want` = `VERB@ID` or `release=sha256:...@ID`; `ghosthands:did` = `VERB@ID STATE [reason]`. docs/agent.md,
"Wishes", is the contract for those who write the one and read the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Verb: TypeAlias = Literal["hold", "resume", "renew", "release"]
State: TypeAlias = Literal["begun", "done", "failed", "ignored"]
VERBS: tuple[Verb, ...] = get_args(Verb)

#: The tags' keys. With tags in its metadata an instance's tag keys may hold these characters (EC2 User Guide, "View
#: tags for your EC2 instances using instance metadata").
WISH_TAG, ANSWER_TAG = "ghosthands:want", "ghosthands:did"
#: EC2 User Guide, "Tag restrictions": at most 256 Unicode characters, and the characters that all services allow.
VALUE_CHARACTERS = 256
OTHER_CHARACTERS = re.compile(r"[^A-Za-z0-9 +\-=._:/@]+")
WISH = re.compile(r"(?:(hold|resume|renew)|(release)=(sha256:[0-9a-f]{64}))@([0-9a-f]{8})")
NAMED = re.compile(r"([a-z]{1,20})[^@]*@([0-9a-f]{8})")  # what is not a wish, but can be answered


@dataclass(frozen=True)
class Wish:
    """One command of an operator.

    Attributes:
        id: 8 lowercase hexadecimal digits, new for each command.
        digest: of `release`: the image's, in the repository of agent.conf's image.
    """

    verb: Verb
    id: str
    digest: str = ""

    @property
    def name(self) -> str:
        """`VERB@ID`, with which its answers begin."""
        return f"{self.verb}@{self.id}"

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.verb}={self.digest}@{self.id}" if self.digest else self.name


def parse(text: str) -> Wish | None:
    """The wish in a tag's value; None: it is not one."""
    if not (found := WISH.fullmatch(text)):
        return None
    verb = next(each for each in VERBS if each == (found[1] or found[2]))
    return Wish(verb, found[4], found[3] or "")


def name_of(text: str) -> str:
    """What the answer to a text that is no wish begins with; empty: it has no id, so nobody can be answered."""
    found = NAMED.fullmatch(text)
    return f"{found[1]}@{found[2]}" if found else ""


def answer(name: str, state: State, reason: str = "") -> str:
    """The value of the answer's tag, cut to what a tag may hold. Other characters become blanks."""
    return " ".join(OTHER_CHARACTERS.sub(" ", f"{name} {state} {reason}").split())[:VALUE_CHARACTERS].rstrip()


def repository(image: str) -> str:
    """An image reference without its digest and tag."""
    name = image.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name


def digest_of(argument: str, image: str) -> str:
    """The digest in `sha256:...` or in a reference to an image of the same repository.

    :param image: agent.conf's.
    :raises ValueError: it is neither; the text says what to write.
    """
    name, at, digest = argument.rpartition("@")
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ValueError(f"{argument} has no digest: write sha256:... or {repository(image)}@sha256:...")
    if at and repository(name) != repository(image):
        raise ValueError(f"{argument} is not in {repository(image)}, the repository of this fleet's image.")
    return digest
