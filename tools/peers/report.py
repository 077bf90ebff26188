"""What peers found, as values and as docs/peers.md."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

#: passed: answered as the client expects. refused: by localcloud, saying what it does not model. fault: anything else.
#: absent: the client is not on this machine, or needs what is not.
Outcome = Literal["passed", "refused", "fault", "absent"]
#: How localcloud refuses.
REFUSAL = "localcloud does not model"


@dataclass(frozen=True)
class Case:
    """One thing that a peer did."""

    name: str
    outcome: Outcome
    detail: str = ""


@dataclass
class Peer:
    """A client with its version, and what it did."""

    name: str
    version: str
    what: str
    cases: list[Case] = field(default_factory=list)

    def add(self, name: str, outcome: Outcome, detail: str = "") -> None:
        """Note a case; only a detail's end matters."""
        self.cases.append(Case(name, outcome, " ".join(detail.split())[-300:]))

    def count(self, outcome: Outcome) -> int:
        """How many cases ended so."""
        return Counter(case.outcome for case in self.cases)[outcome]

    def faults(self) -> list[Case]:
        """The cases that failed."""
        return [case for case in self.cases if case.outcome == "fault"]

    def line(self) -> str:
        """The counts."""
        absent = f", {self.count('absent')} not run" if self.count("absent") else ""
        return (
            f"{self.name} {self.version}: {self.count('passed')} passed, {self.count('refused')} refused by name, "
            f"{self.count('fault')} faults{absent}"
        )


def summary(peers: list[Peer]) -> str:
    """The closing line, which counts everything."""
    passed, refused, faults = (sum(peer.count(o) for peer in peers) for o in ("passed", "refused", "fault"))
    return f"peers: {passed} passed, {faults} failed, {refused} refused by name"


def write(page: Path, peers: list[Peer]) -> None:
    """Write the counts between the marks of the page; those of peers that did not run now stay."""
    head, _, rest = page.read_text().partition("<!-- counts -->\n")
    counted, _, tail = rest.partition("<!-- end of counts -->")
    rows = {row.split()[1]: row for row in counted.splitlines() if row.startswith("| ")}
    rows.pop("peer", None)
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    for peer in peers:
        counts = " | ".join(str(peer.count(outcome)) for outcome in get_args(Outcome))
        rows[peer.name] = f"| {peer.name} {peer.version} | {peer.what} | {counts} | {today} |"
    table = [
        "| peer | what it does | passed | refused by name | faults | not run | counted on |",
        "|---|---|---|---|---|---|---|",
        *(row for _, row in sorted(rows.items())),
    ]
    page.write_text(f"{head}<!-- counts -->\n" + "\n".join(table) + f"\n<!-- end of counts -->{tail}")
