# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's documentation and its options agree, and its results are what the documentation describes."""

from __future__ import annotations

import yaml
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import RESULT, failure
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.postgres import SSLMODES
from ansible_collections.wekruit.ghosthands.plugins.modules.worker_registry_info import DOCUMENTATION, OPTIONS, RETURN


def test_the_documentation_has_every_option_with_its_type_choices_and_default() -> None:
    documented = yaml.safe_load(DOCUMENTATION)["options"]
    documented_options = {
        name: {k: v for k, v in option.items() if k != "description"} for name, option in documented.items()
    }
    assert documented_options == {
        name: {k: v for k, v in option.items() if k != "no_log"} for name, option in OPTIONS.items()
    }


def test_what_may_hold_a_password_is_never_logged() -> None:
    assert {name for name, option in OPTIONS.items() if option.get("no_log")} == {"dsn", "password"}


def test_every_sslmode_that_is_taken_from_a_dsn_is_a_choice() -> None:
    assert tuple(OPTIONS["sslmode"]["choices"]) == SSLMODES


def test_the_documentation_has_every_key_of_a_result_and_of_its_rows() -> None:
    documented = yaml.safe_load(RETURN)
    assert documented.keys() == failure("").keys() - {"changed"}
    assert documented["rows"]["contains"].keys() == RESULT.keys()
