#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/autoscaling_group_drain.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_group_drain
version_added: 0.1.0
short_description: Drain and terminate every instance of an Auto Scaling group
description:
  - Sets the group's minimum size and desired capacity to 0, and waits until every instance has been drained by the
    termination hook and is gone. Shows the progress.
  - Removes instances' protection from scale-in. The termination hook still drains their workers.
  - Terminates instances in Standby, which scale-in never chooses.
  - Fails, with what to do, if instances are left after O(timeout), or if some were retained.
  - Fails at once where it could never end, because the process Terminate is suspended or somebody else scales out.
  - If it is interrupted, the group goes on draining, and the task can be run again.
author:
  - WeKruit (@WeKruit)
options:
  name:
    description: The group's name. A group that does not exist is empty.
    type: str
    required: true
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 2700
attributes:
  check_mode:
    description: Reports whether there is anything to drain.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Drain the workers
  wekruit.ghosthands.autoscaling_group_drain:
    name: gh-worker-asg
    timeout: 2700
"""

RETURN = r"""
msg:
  description: Which instances the group has.
  returned: success
  type: str
"""
