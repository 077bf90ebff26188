# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of a site's playbooks, as the comparison reads them. Pure: parsed YAML in, tasks out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A task's and a play's keywords that do not keep the comparison from predicting what the task does.
TASK_KEYWORDS = set(
    "name register vars when loop loop_control no_log tags diff until retries delay throttle changed_when "
    "failed_when".split()
)
PLAY_KEYWORDS = {"name", "hosts", "gather_facts", "connection", "module_defaults", "vars", "tags", "tasks"}
CHANGES_NOTHING = {
    "ansible.builtin.meta",
    "ansible.builtin.debug",
    "ansible.builtin.assert",
    "wekruit.ghosthands.fleet_drift",
}
COMPARE_TASKS = ("tasks/compare.yml", "tasks/read.yml")


@dataclass
class SiteTask:
    """One task of a playbook."""

    section: str
    """its playbook: iam, launch_template, ..."""
    play: str
    task: Mapping[str, Any]
    """as it is written"""
    module: str
    """its module; where the task cannot be compared, the keywords that are the reason"""


def site_tasks(load: Callable[[Path], Any], playbook: Path) -> Iterator[SiteTask]:
    """Every task that may change something, of a playbook and of those that it imports, in order.

    :param load: a YAML file's content.
    """
    for play in load(playbook):
        if "ansible.builtin.import_playbook" in play:
            yield from site_tasks(load, playbook.parent / play["ansible.builtin.import_playbook"])
            continue
        if unknown := sorted(play.keys() - PLAY_KEYWORDS):
            name = play.get("name", "?")
            yield SiteTask(playbook.stem, name, {"name": "This play"}, f"keyword {', '.join(unknown)}")
        for task in play.get("tasks", []):
            module = _module(task)
            if module not in CHANGES_NOTHING and task.get("ansible.builtin.import_tasks") not in COMPARE_TASKS:
                yield SiteTask(playbook.stem, play["name"], task, module)


def _module(task: Mapping[str, Any]) -> str:
    words = sorted(task.keys() - TASK_KEYWORDS)
    return words[0] if len(words) == 1 else f"keywords {', '.join(words)}"
