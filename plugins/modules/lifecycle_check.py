#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/lifecycle_check.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lifecycle_check
version_added: 0.1.0
short_description: Check a fleet
description:
  - Reads a fleet (at most 20 calls besides paging, all at once) and compares it with what it should be, and with what
    the tasks of C(site.yml) would change.
  - Each check has a stable id and returns one finding, with what was seen, a remedy, and the values behind it.
  - Read-only. It never reads a secret's value. What the caller may not read becomes a finding.
  - The C(fleet_*) variables say what the fleet should be (docs/options.md). O(expect) replaces some of them.
author:
  - WeKruit (@WeKruit)
options:
  expect:
    description: Values for this task instead of the variables'. The names of the variables without C(fleet_).
    type: dict
    default: {}
  registry:
    description: The result of M(wekruit.ghosthands.worker_registry_info). Without it the checks of workers are skipped.
    type: dict
  hosts:
    description:
      - What C(ghosthands-agent doctor --json) printed on each instance.
      - Each has C(instance), and C(findings) or, where it could not be asked, C(problem).
    type: list
    elements: dict
  drill:
    description: The finding of M(wekruit.ghosthands.fleet_drill), to be reported with the others.
    type: dict
  fail_on:
    description: The least severity that fails the task. The result is the same either way.
    type: str
    choices: [error, warning, never]
    default: error
  wait_for:
    description:
      - Check again until these checks (ids) pass, or until O(timeout). V(all) waits until nothing would fail the task.
      - A check that has not passed by then counts as an error.
      - O(registry), O(hosts) and O(drill) stay as they were given.
      - The registry is handed in and read once, so the checks of workers cannot be waited for.
      - Empty means to check once.
    type: list
    elements: str
    default: []
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 600
  report:
    description:
      - A folder to write C(report.json), C(report.xml) and C(report.html) to, relative to the working directory.
      - Empty means no report.
    type: str
    default: ""
  version:
    description:
      - Check the instances of this launch template version, as if the group launched it already. For a rollout's first
        instances. Only findings that failed are shown.
    type: str
    default: ""
attributes:
  check_mode:
    description: It never changes anything.
    support: full
  diff_mode:
    description: It never changes anything.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Fail if a check of the fleet fails
  wekruit.ghosthands.lifecycle_check:

- name: Wait until the new worker is in service
  wekruit.ghosthands.lifecycle_check:
    wait_for: [instances-serving, instances-pending]
    timeout: 900

- name: Check another group against the same variables, and never fail
  wekruit.ghosthands.lifecycle_check:
    expect:
      group_name: gh-worker-canary-asg
    fail_on: never
"""

RETURN = r"""
findings:
  description: One for each check, in the order of the runbook.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Stable.
      type: str
    section:
      description: The runbook's section.
      type: int
    severity:
      description: C(error), C(warning) or C(info). A check that was skipped has C(info).
      type: str
    ok:
      description: Whether it passed, or was skipped.
      type: bool
    detail:
      description: What was seen.
      type: str
    remedy:
      description: What to do, as text, its commands in backticks.
      type: str
    commands:
      description: The remedy's commands, to be run where Ansible runs, in this order.
      type: list
      elements: str
    evidence:
      description: The values behind it.
      type: dict
fleet:
  description: The fleet in short, as the report shows it.
  returned: always
  type: dict
errors:
  description: Ids of the failed checks of that severity.
  returned: always
  type: list
  elements: str
warnings_found:
  description: Ids of the failed checks of that severity.
  returned: always
  type: list
  elements: str
calls:
  description: How many calls to AWS it took.
  returned: always
  type: int
"""
