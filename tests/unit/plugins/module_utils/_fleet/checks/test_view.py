# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of remedies."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CommandLine


def test_a_playbook_is_run_as_the_operator_types_it() -> None:
    command_line = CommandLine("playbooks", "site.yml", "staging", "stg")
    assert command_line.playbook("site.yml") == "ansible-playbook site.yml -i staging -l stg"
    assert (
        command_line.playbook("iam.yml", "-e fleet_force=true")
        == "ansible-playbook playbooks/iam.yml -i staging -l stg -e fleet_force=true"
    )


def test_paths_with_blanks_are_quoted() -> None:
    assert (
        CommandLine("a clone/playbooks", "a clone/site.yml", "my inventory", "stg").playbook("iam.yml")
        == "ansible-playbook 'a clone/playbooks/iam.yml' -i 'my inventory' -l stg"
    )
