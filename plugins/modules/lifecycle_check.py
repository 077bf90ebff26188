#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lifecycle_check
version_added: 0.1.0
short_description: Say whether a fleet is right, and if not, what to do
description:
  - Reads what stands (at most 15 calls besides paging, all at once, whatever the fleet's size) and holds it against what the fleet should be.
  - Each check has a stable id and comes to one finding, right or wrong, with what was seen, a remedy, and the values behind it.
  - Read-only. It never reads a secret's value. What the caller may not read becomes a finding.
  - What the fleet should be stands in the C(fleet_*) variables (docs/options.md); O(expect) replaces some of them for this task.
author:
  - WeKruit (@WeKruit)
options:
  expect:
    description: What the fleet should be, where it is not what the variables say. The names of the variables without C(fleet_).
    type: dict
    default: {}
  registry:
    description: The result of M(wekruit.ghosthands.worker_registry_info). Without it nothing is said of workers.
    type: dict
  hosts:
    description:
      - What C(ghosthands-agent doctor --json) said on each instance.
      - Each has C(instance), and C(findings) or, where it could not be asked, C(problem).
    type: list
    elements: dict
  drill:
    description: The finding of M(wekruit.ghosthands.fleet_drill), to stand among the others.
    type: dict
  fail_on:
    description: The least severity that fails the task. The result is the same either way.
    type: str
    choices: [error, warning, never]
    default: error
  wait_for:
    description:
      - Look again until these checks are right (ids), or until O(timeout). V(all) means that nothing would fail the task.
      - What is still waited for then counts as an error. O(registry), O(hosts) and O(drill) stay as they were given.
      - The registry is handed in and read once, so what is said of workers cannot be waited for.
      - Empty means one look.
    type: list
    elements: str
    default: []
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 600
  report:
    description: A folder to write C(report.json), C(report.xml) and C(report.html) to, relative to the folder you run in. Empty means none.
    type: str
    default: ""
attributes:
  check_mode:
    description: It changes nothing anyway.
    support: full
  diff_mode:
    description: There is nothing to differ.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Know whether the fleet is right
  wekruit.ghosthands.lifecycle_check:

- name: Wait until the new worker serves
  wekruit.ghosthands.lifecycle_check:
    wait_for: [instances-serving, instances-pending]
    timeout: 900

- name: Hold another group against the same expectations, and only look
  wekruit.ghosthands.lifecycle_check:
    expect:
      group_name: gh-worker-canary-asg
    fail_on: never
"""

RETURN = r"""
findings:
  description: One for each check, in the runbook's order.
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
      description: C(error), C(warning) or C(info); what was not looked at is C(info).
      type: str
    ok:
      description: Whether it is as it should be.
      type: bool
    detail:
      description: What was seen.
      type: str
    remedy:
      description: What to do. Commands stand between backticks.
      type: str
    evidence:
      description: The values behind it.
      type: dict
fleet:
  description: What stands, in short; what the report draws.
  returned: always
  type: dict
errors:
  description: Ids of the wrong ones of that severity.
  returned: always
  type: list
  elements: str
warnings_found:
  description: Ids of the wrong ones of that severity.
  returned: always
  type: list
  elements: str
calls:
  description: How many calls of AWS's it took.
  returned: always
  type: int
"""
