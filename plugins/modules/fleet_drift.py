#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_drift
version_added: 0.1.0
short_description: What the site's own tasks would change, in one reading of the account
description:
  - Reads the tasks of the site's playbooks, fills in their variables, asks the account for everything at once, and says in the modules' own words
    which of them would change something.
  - Checks every C(fleet_*) variable and the account first, and fails with one clear error before anything changes.
  - A plan for plain Ansible. Read-only; it never reads a secret's value.
  - It fails closed. A module, a parameter, a keyword or a value that it cannot compare counts as differing, and is named.
author:
  - WeKruit (@WeKruit)
options:
  playbook:
    description: The playbook whose tasks are read, next to the one that runs.
    type: str
    default: site.yml
  forecast:
    description:
      - Ask also what a fleet may meet once it is made, in about four more calls. Quotas, what the caller may do, the price by the month.
      - What nobody may ask becomes a finding.
    type: bool
    default: false
attributes:
  check_mode:
    description: The whole of it. In check mode a difference counts as a change.
    support: full
  diff_mode:
    description: Shows what differs, in the modules' own words. Secret material is hidden.
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
  description: The tasks that differ from the account. Those of the playbook that runs, or of the whole site under C(site.yml).
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
      description: Whether the thing is not there at all.
      type: bool
findings:
  description: What the operator should know, e.g. sizes that are left to VALET or a version that waits for a rollout.
  returned: success
  type: list
  elements: dict
ids:
  description: What AWS alone knows and the tasks refer to, e.g. the account, the network, the image.
  returned: success
  type: dict
given:
  description: What the tasks register for later ones, as far as it is known in advance.
  returned: success
  type: dict
calls:
  description: How many API calls it took.
  returned: success
  type: int
seconds:
  description: How long it took.
  returned: success
  type: float
"""
