#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/autoscaling_group_retained.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_group_retained
version_added: 0.1.0
short_description: List a fleet's retained instances, and end those that an operator has looked at
description:
  - An instance whose termination hook was abandoned stays in C(Terminating:Retained), because a job may be lost on it.
    It is billed, is not counted in desired capacity, and no one ends it.
  - Lists these instances with their age and price, their last job by the worker registry, and the last lines of their
    journal in the fleet's log group.
  - Ends those that O(release) names, and waits until they have left the group. Fails before it ends any if one of them
    is not retained. One that has left the group already is not an error.
author:
  - WeKruit (@WeKruit)
options:
  release:
    description: Ids of retained instances to end, or C(all). By default they are only listed.
    type: list
    elements: str
    default: []
  registry:
    description: The result of M(wekruit.ghosthands.worker_registry_info) with workers that are offline.
    type: dict
  timeout:
    description: How long to wait until they have left the group, in seconds.
    type: int
    default: 300
attributes:
  check_mode:
    description: Lists what it would end, and ends nothing.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: End the instance whose journal was read
  wekruit.ghosthands.autoscaling_group_retained:
    release: [i-0123456789abcdef0]
"""

RETURN = r"""
instances:
  description: The retained instances as they were found.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
    type:
      description: Its instance type.
      type: str
    usd_a_day:
      description: Its price by the built-in list; 0 if that does not contain it.
      type: float
    age_seconds:
      description: How long ago its termination began; absent if the group's activities do not show that.
      type: float
    job:
      description: The job that its worker had last, by the registry; empty if none is known.
      type: str
    journal:
      description: The last lines of its journal.
      type: list
      elements: str
released:
  description: Ids of those that were ended, or would be in check mode.
  returned: success
  type: list
  elements: str
"""
