# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators want of instances, and what agents answer: the texts of tags. Standard library only.

docs/agent.md, "Wishes", is the contract; agent/src/ghosthands_agent/wishes.py is the agent's side of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

WANT, DID = "ghosthands:want", "ghosthands:did"
COMMAND = "ghosthands:command"
"""the group's tag that names the command under way for the whole fleet; it is never propagated"""
VERBS = ("hold", "resume", "renew", "release")
FINAL = ("done", "failed", "ignored")
DIGEST = "sha256:[0-9a-f]{64}"


class Wish(NamedTuple):
    """One command."""

    verb: str
    id: str
    """8 lowercase hexadecimal digits, new for each command"""
    digest: str = ""
    """of release: the image's"""

    @property
    def text(self) -> str:
        """The tag's value."""
        return f"{self.verb}{f'={self.digest}' if self.digest else ''}@{self.id}"

    @classmethod
    def parse(cls, text: str) -> Wish | None:
        """The wish in a tag's value; None: it is none."""
        found = re.fullmatch(rf"(?:(hold|resume|renew)|(release)=({DIGEST}))@([0-9a-f]{{8}})", text)
        return cls(found[1] or found[2], found[4], found[3] or "") if found else None


class Answer(NamedTuple):
    """What an agent has written about a wish."""

    verb: str
    id: str
    state: str
    """begun, done, failed or ignored"""
    reason: str = ""

    @classmethod
    def parse(cls, text: str) -> Answer | None:
        """The answer in a tag's value; None: it is none."""
        found = re.fullmatch(r"([a-z]{1,20})@([0-9a-f]{8}) (begun|done|failed|ignored)(?: (.*))?", text)
        return cls(found[1], found[2], found[3], found[4] or "") if found else None


class Told(NamedTuple):
    """What an instance was told last, and what it answered."""

    wish: Wish | None = None
    answer: Answer | None = None
    """None also where it is about another wish, which the agent has not seen yet"""

    def __str__(self) -> str:
        """For people: `held`, `renew failed: no key X`, `release not answered`; empty: it was told nothing."""
        if self.wish is None:
            return ""
        if self.held:
            return "held"
        reason = f": {self.answer.reason}" if self.answer and self.answer.reason else ""
        return f"{self.wish.verb} {self.state or 'not answered'}{reason}"

    @property
    def state(self) -> str:
        """The answer's; empty: there is none."""
        return self.answer.state if self.answer else ""

    @property
    def held(self) -> bool:
        """Whether the worker takes no jobs: by a hold, or because a renewal or release found it held."""
        by_hold = self.wish is not None and self.wish.verb == "hold" and self.state in ("begun", "done")
        return by_hold or bool(self.answer and self.answer.state == "done" and self.answer.reason.startswith("held"))

    @property
    def unanswered(self) -> bool:
        """Whether there is a wish that the agent has not answered at all."""
        return self.wish is not None and self.answer is None


def told(tags: Mapping[str, str]) -> Told:
    """What an instance's tags say."""
    wish, answer = Wish.parse(tags.get(WANT, "")), Answer.parse(tags.get(DID, ""))
    return Told(wish, answer if wish and answer and (answer.verb, answer.id) == (wish.verb, wish.id) else None)
