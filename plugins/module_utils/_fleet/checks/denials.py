# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why actions may not be called, and who can change that. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import Denial


def explained(
    who: str, denials: Iterable[Denial], own: Callable[[Denial], bool], repair: Remedy, boundary: str = ""
) -> tuple[str, Remedy]:
    """What is wrong, and what to do: a sentence each for what is missing, denied, and forbidden from outside.

    :param who: whose permissions they are, as the sentence begins.
    :param own: whether `repair` allows this again.
    :param boundary: the ARN of its permissions boundary, if it is known.
    """
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in denials:
        reasons.setdefault(("own", "") if own(one) else (one.reason, one.policy), []).append(one.action)
    seen, advice = [], []
    for (reason, policy), actions in reasons.items():
        several = ", ".join(dict.fromkeys(actions))
        if reason == "own":
            seen.append(f"{who} may not call {several}.")
        elif reason == "boundary":
            which = " ".join(filter(None, ("permissions boundary", boundary)))
            seen.append(f"The {which} does not allow {several}.")
            advice.append(f"Have the owner of the {which} allow these actions.")
        elif reason == "organization":
            seen.append(f"The organization's policies (SCPs) do not allow {several}.")
            advice.append("Have the organization's administrator allow these actions.")
        else:
            seen.append(f"Policy {policy or '(not named)'} denies {several}.")
            advice.append(f"Remove the denial from policy {policy or '(not named)'}.")
    if ("own", "") not in reasons:
        return " ".join(seen), Remedy(" ".join(advice))
    return " ".join(seen), Remedy(" ".join([*advice, repair.text]), repair.commands)
