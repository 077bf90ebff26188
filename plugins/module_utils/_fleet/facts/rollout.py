# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout as its group's tags record it, and what AWS answers about instance refreshes. Standard library only."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

TAG = "ghosthands:rollout"
"""of the group, while a rollout or its undoing is under way"""
LAST_VERSION_TAG = "ghosthands:last-version"
"""of the group: the version that the last finished rollout replaced, and its template"""
LONGEST_VALUE = 256  # of a tag (API reference, Auto Scaling, Tag)
FORWARD, BACK = "forward", "back"


@dataclass(frozen=True)
class Rollout:
    """Who rolls which version of the launch template out, as the group's tag says. Versions are numbers."""

    version: str
    previous: str
    """what the group launched when it began, and launches until it ends"""
    run: str
    """of the controller that goes on with it: random, so that of two only one does"""
    since: str
    """ISO 8601, UTC, by that controller's clock: for people"""
    by: str
    """ARN of who began it"""
    going: str = FORWARD
    """`back`: it is being undone"""
    after: str = ""
    """the group's newest refresh before it; empty: there was none"""
    why: str = ""
    """the id of the finding because of which it is undone; empty: somebody asked for it"""

    @classmethod
    def begin(cls, version: str, previous: str, by: str, after: str, now: float) -> Rollout:
        """A new one; `now` in seconds since the epoch."""
        since = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return cls(version, previous, secrets.token_hex(4), since, _allowed(by), after=after)

    @classmethod
    def parse(cls, value: str) -> Rollout | None:
        """The rollout of the tag's value; None: it is not one of ours."""
        found = dict(word.partition("=")[::2] for word in value.split())
        named = {"previous" if key == "from" else key: text for key, text in found.items()}
        known = {name: named.get(name, "") for name in cls.__dataclass_fields__}
        numbers = known["version"].isdigit() and known["previous"].isdigit()
        if not numbers or not known["run"] or known["going"] not in (FORWARD, BACK):
            return None
        return cls(**known)

    def as_tag(self) -> str:
        """The tag's value."""
        words = [f"version={self.version}", f"from={self.previous}", f"run={self.run}", f"since={self.since}"]
        words += [f"going={self.going}", *([f"after={self.after}"] if self.after else [])]
        words += [f"why={_allowed(self.why)}"] if self.why else []
        return " ".join([*words, f"by={self.by}"])[:LONGEST_VALUE]

    def taken_over(self) -> Rollout:
        """The same, with another controller."""
        return replace(self, run=secrets.token_hex(4))

    def undone(self, why: str) -> Rollout:
        return replace(self, going=BACK, why=why)

    @property
    def what(self) -> str:
        """For people: `version 7 (from 5)`."""
        undone = ", which is being undone" if self.going == BACK else ""
        return f"version {self.version} (from {self.previous}){undone}"


def _allowed(text: str) -> str:
    """The text with what a tag's value may hold (Tagging AWS resources: letters, digits and _ . : / = + - @)."""
    return re.sub(r"[^\w.:/+@-]", "_", text)


def last_version(value: str, template_id: str) -> str:
    """The version that LAST_VERSION_TAG records; empty: none, or one of another launch template."""
    version, _blank, template = value.partition(" ")
    return version if version.isdigit() and template == template_id else ""


class Meaning(NamedTuple):
    """What an answer of AWS's means."""

    meaning: str
    remedy: str
    """empty: nothing has to be done"""


ACTIVE = frozenset({"Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress"})
"""statuses of a refresh that is not over"""

#: Every status of a refresh (API reference, InstanceRefresh).
STATUSES: Mapping[str, Meaning] = {
    "Pending": Meaning("AWS has accepted the refresh and has not begun", ""),
    "InProgress": Meaning("instances are being replaced, or a checkpoint waits", ""),
    "Baking": Meaning("everything is replaced, and AWS waits before it calls it successful", ""),
    "Cancelling": Meaning("the refresh is being cancelled; replacements under way end first", ""),
    "RollbackInProgress": Meaning("AWS replaces the new instances by ones of the version before", ""),
    "Successful": Meaning("every instance is replaced, and the group launches the new version", ""),
    "Cancelled": Meaning(
        "somebody cancelled it: what was replaced stays, and the group launches the version before",
        "Run rollout.yml again to go on, or rollback.yml to go back.",
    ),
    "Failed": Meaning(
        "AWS gave it up, after an hour in which no replacement came into service or an instance could not be replaced",
        "What is new is replaced by the version before. status.yml and the group's activities show the reason.",
    ),
    "RollbackSuccessful": Meaning(
        "AWS gave it up or was asked to, and replaced the new instances by the version before", ""
    ),
    "RollbackFailed": Meaning(
        "AWS could not replace every new instance by the version before",
        "What is left of the new version is replaced by another refresh. status.yml shows which instances are left.",
    ),
}

#: What AWS refuses with (API reference: StartInstanceRefresh, CancelInstanceRefresh, RollbackInstanceRefresh,
#: DescribeInstanceRefreshes, TerminateInstanceInAutoScalingGroup, CreateOrUpdateTags).
REFUSALS: Mapping[str, Meaning] = {
    "InstanceRefreshInProgress": Meaning(
        "another refresh runs: this rollout's own, where the answer to its start was lost",
        "Where it is somebody else's, wait until it is over, or cancel it.",
    ),
    "ActiveInstanceRefreshNotFound": Meaning("no refresh runs any more: it ended in between", ""),
    "IrreversibleInstanceRefresh": Meaning(
        "AWS cannot roll this refresh back: it has no desired configuration, or the group uses $Latest or $Default",
        "It is cancelled instead, and what is new is replaced by another refresh.",
    ),
    "ScalingActivityInProgress": Meaning("the group is doing something that has to end first", ""),
    "ResourceContention": Meaning("somebody else changes the group at this moment", ""),
    "LimitExceeded": Meaning(
        "the account has as many of its Auto Scaling resources as it may have",
        "Raise the quota, then run the playbook again.",
    ),
    "ValidationError": Meaning(
        "AWS does not accept the request: a version, an alarm or the group does not exist, or a value is out of bounds",
        "AWS's text names it.",
    ),
    "AccessDenied": Meaning(
        "these credentials may not do it",
        "The operator's policy in docs/iam allows every call; a start also needs ec2:RunInstances and iam:PassRole.",
    ),
}
#: Refusals after which the state has to be read again: somebody, or this program a moment ago, has changed it.
CHANGED = frozenset({"InstanceRefreshInProgress", "ActiveInstanceRefreshNotFound", "IrreversibleInstanceRefresh"})
#: Refusals that pass. An error without a code is a call without an answer. AccessDenied passes for two minutes after a
#: policy was written; that is not waited for here, because the rollout wrote none.
PASSING = frozenset(
    {"ScalingActivityInProgress", "ResourceContention", "Throttling", "ThrottlingException", "RequestLimitExceeded"}
    | {"ServiceUnavailable", "InternalFailure", "InternalError", "ServiceLinkedRoleFailure", "RequestTimeout", ""}
)


def base_code(code: str) -> str:
    """AWS's code without the `Fault` that some of its SDKs append."""
    return code.removesuffix("Fault")
