#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/fleet_drift.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_drift
version_added: 0.1.0
short_description: Report what the site's own tasks would change
description:
  - Reads the tasks of the site's playbooks, fills in their variables, reads the account once, and reports which tasks
    would change something, by the names of their modules' parameters. It is a plan for plain Ansible.
  - First checks every C(fleet_*) variable and the account, and fails with one clear error before anything changes.
  - Read-only. It never reads a secret's value.
  - It fails closed. A module, parameter, keyword or value that it cannot compare counts as a difference, and is named.
author:
  - WeKruit (@WeKruit)
options:
  playbook:
    description: The playbook whose tasks are read, next to the one that runs.
    type: str
    default: site.yml
  forecast:
    description:
      - Also report what may stand in the fleet's way once it is built, with about four more calls. Quotas, the caller's
        permissions and the price per month.
      - What could not be read becomes a finding.
    type: bool
    default: false
  rollout:
    description:
      - Compare the launch template with what a rollout brings, as C(launch_template.yml) alone does. C(keep) as
        C(fleet_image) then means the newest own AMI, unless C(fleet_worker_image) is set, and the worker image's tag is
        resolved to its digest.
      - While a rollout is under way, no play has anything to do.
    type: bool
    default: false
attributes:
  check_mode:
    description: It changes nothing. In check mode a difference counts as a change.
    support: full
  diff_mode:
    description: Shows what differs, by the names of the modules' parameters. Secrets are hidden.
    support: full
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Read the account and compare
  wekruit.ghosthands.fleet_drift:
  register: __fleet_drift

- name: Nothing to do here
  ansible.builtin.meta: end_host
  when: ansible_play_name not in __fleet_drift.plays
"""

RETURN = r"""
plays:
  description: The plays whose tasks have to run. None in check mode, all with C(fleet_force).
  returned: success
  type: list
  elements: str
differs:
  description: The tasks of the playbook that differ from the account, with C(site.yml) those of the whole site.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The playbook.
      type: str
    play:
      description: The play.
      type: str
    task:
      description: The task.
      type: str
    parameters:
      description: The parameters that differ.
      type: list
    missing:
      description: Whether the resource does not exist.
      type: bool
findings:
  description: What the operator should know, such as sizes left to VALET or a version that waits for a rollout.
  returned: success
  type: list
  elements: dict
ids:
  description: What only AWS knows and the tasks use, such as the account, the network and the image.
  returned: success
  type: dict
given:
  description: What the tasks register for later tasks, as far as it is known in advance.
  returned: success
  type: dict
version_description:
  description: What the next version of the launch template changes; where there is none, the latest one's description.
  returned: success
  type: str
calls:
  description: How many API calls were made.
  returned: success
  type: int
seconds:
  description: How long it took.
  returned: success
  type: float
"""
