# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an action may not be called, and who can change that: a playbook is named only where it repairs something."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.denials import explained
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import Denial

RUN = Remedy("Run", ("ansible-playbook iam.yml",))
BOUNDARY = "arn:aws:iam::123456789012:policy/limits"


def said(*denials: Denial, own: frozenset[str] = frozenset({"missing"})) -> tuple[str, Remedy]:
    return explained("gh-worker-role", denials, lambda denial: denial.reason in own, RUN, BOUNDARY)


def test_what_is_missing_is_repaired_by_the_playbook() -> None:
    detail, remedy = said(Denial("a:B"), Denial("a:C"), Denial("a:B"))
    assert (detail, remedy) == ("gh-worker-role may not call a:B, a:C.", RUN)


@pytest.mark.parametrize(
    ("denial", "detail", "advice"),
    [
        (
            Denial("a:B", "boundary"),
            f"The permissions boundary {BOUNDARY} does not allow a:B.",
            f"Have the owner of the permissions boundary {BOUNDARY} allow these actions.",
        ),
        (
            Denial("a:B", "organization"),
            "The organization's policies (SCPs) do not allow a:B.",
            "Have the organization's administrator allow these actions.",
        ),
        (Denial("a:B", "policy", "guard"), "Policy guard denies a:B.", "Remove the denial from policy guard."),
    ],
)
def test_what_is_forbidden_from_outside_names_that_and_no_playbook(denial: Denial, detail: str, advice: str) -> None:
    assert said(denial) == (detail, Remedy(advice))


def test_each_reason_has_its_sentence_and_the_playbook_comes_last() -> None:
    detail, remedy = said(Denial("a:B"), Denial("a:C", "organization"), Denial("a:D", "policy", "guard"))
    assert detail == (
        "gh-worker-role may not call a:B. The organization's policies (SCPs) do not allow a:C. Policy guard denies a:D."
    )
    assert remedy.commands == RUN.commands
    assert remedy.text.endswith("Remove the denial from policy guard. Run")


def test_a_boundary_that_the_playbook_replaces_is_repaired_by_it() -> None:
    assert said(Denial("a:B", "boundary"), own=frozenset({"boundary"})) == ("gh-worker-role may not call a:B.", RUN)
