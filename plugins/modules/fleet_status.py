#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/fleet_status.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_status
version_added: 0.1.0
short_description: Show the resources of a fleet and their state
description:
  - Reads everything that the playbooks create and prints it as a table in the runbook's order, missing or not.
  - An instance that waits in a lifecycle hook is shown with how long it has been waiting.
  - Read-only. It never reads a secret's value.
author:
  - WeKruit (@WeKruit)
options:
  registry:
    description: The result of M(wekruit.ghosthands.worker_registry_info). With it, the jobs of instances are shown too.
    type: dict
  deletion:
    description: Whether to look also for what would prevent the fleet's deletion.
    type: bool
    default: false
attributes:
  check_mode:
    description: It changes nothing.
    support: full
  diff_mode:
    description: It has no diff.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Show the fleet
  wekruit.ghosthands.fleet_status:
"""

RETURN = r"""
rows:
  description: The table.
  returned: success
  type: list
  elements: dict
  contains:
    section:
      description: The runbook's section.
      type: str
    resource:
      description: The kind of resource.
      type: str
    id:
      description: Its id or name.
      type: str
    state:
      description: Its state, C(missing) if it does not exist.
      type: str
missing:
  description: The ids of the resources that do not exist.
  returned: success
  type: list
  elements: str
prevents_deletion:
  description: With O(deletion), why AWS would refuse to delete a resource however long one waits, a sentence each.
  returned: success
  type: list
  elements: str
"""
