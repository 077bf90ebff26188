"""A probe: what we believe about AWS, who says so, and a function that looks. The registry of all probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tools.first_contact.account import Account

CONFIRMED, REFUTED, NOT_LOOKED_AT = "confirmed", "refuted", "not looked at"


@dataclass(frozen=True)
class Answer:
    """What a probe found.

    Attributes:
        verdict: CONFIRMED, REFUTED or NOT_LOOKED_AT.
        observed: what AWS answered, in a few words; or why nothing was looked at.
        facts: numbers and texts to keep.
    """

    verdict: str
    observed: str
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class NotLookedAt(Exception):
    """A probe could not look; the message says why."""


def judged(holds: bool, observed: str, **facts: Any) -> Answer:
    """The answer of a probe that looked."""
    return Answer(CONFIRMED if holds else REFUTED, observed, facts)


@dataclass(frozen=True)
class Probe:
    """What is believed and how it is looked at.

    Attributes:
        name: its id.
        claim: what we believe.
        source: where that is from.
        writes: whether it creates something, or tries to.
        minutes: how long it takes on AWS, about.
        dollars: what it costs there, at most.
        actions: the API actions that it calls itself.
        look: looks. Raises NotLookedAt, ClientError.
    """

    name: str
    claim: str
    source: str
    writes: bool
    minutes: float
    dollars: float
    actions: tuple[str, ...]
    look: Callable[[Account], Answer]


#: What modules have registered; catalogue.py has all of them in order.
REGISTERED: list[Probe] = []


def probe(
    name: str,
    *,
    claim: str,
    source: str,
    actions: str,
    writes: bool = False,
    minutes: float = 0.1,
    dollars: float = 0.0,
) -> Callable[[Callable[[Account], Answer]], Callable[[Account], Answer]]:
    """Register a function as a probe."""

    def register(look: Callable[[Account], Answer]) -> Callable[[Account], Answer]:
        REGISTERED.append(Probe(name, claim, source, writes, minutes, dollars, tuple(actions.split()), look))
        return look

    return register
