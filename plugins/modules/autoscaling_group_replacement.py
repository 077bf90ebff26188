#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/autoscaling_group_replacement.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_group_replacement
version_added: 0.1.0
short_description: Replace the instances of a fleet that have no agent, one by one
description:
  - Puts an instance on standby, where it goes on working, and waits until another one is in service in its place.
  - Waits until the worker has no job, by the database and by its own status, twice. Then freezes its process and reads
    the database while it cannot act. If it has taken a job, it goes on, and is tried again. Else it is ended for good,
    and the instance terminated, its hook completed at once.
  - A frozen worker goes on by itself after 45 seconds, whatever became of this task.
  - Under a backlog a worker begins the next job within milliseconds and is never idle. The task then says so.
  - If it is interrupted, an instance may stay on standby, at work. The task can be run again.
author:
  - WeKruit (@WeKruit)
options:
  timeout:
    description: How long to wait for each instance, in seconds.
    type: int
    default: 2700
  unseen:
    description:
      - Replace instances also where C(fleet_host_checks) gives no way to their hosts. Then only the database says that
        a worker is idle, and one that takes a job in the seconds before its instance ends loses it.
    type: bool
    default: false
attributes:
  check_mode:
    description: Lists the instances and their jobs.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Replace the instances without the agent
  wekruit.ghosthands.autoscaling_group_replacement:
    timeout: 2700
"""

RETURN = r"""
msg:
  description: How many were replaced.
  returned: success
  type: str
replaced:
  description: Their ids.
  returned: success
  type: list
  elements: str
"""
