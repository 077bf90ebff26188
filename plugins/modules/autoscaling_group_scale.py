#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/autoscaling_group_scale.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_group_scale
version_added: 0.1.0
short_description: Set the sizes of a fleet's group by hand, and wait until it has them
description:
  - Sets min size, max size and desired capacity in one call, and waits until so many instances are in service and none
    is starting or ending. Shows which of them still have a job.
  - Fails before it changes anything where AWS would refuse the sizes, or where the group could never have them because
    the process that it takes is suspended.
  - VALET sets these sizes too. Where it sets another desired capacity meanwhile, that holds, and the wait ends.
author:
  - WeKruit (@WeKruit)
options:
  min_size:
    description: The min size. V(-1) leaves it.
    type: int
    default: -1
  max_size:
    description: The max size. V(-1) leaves it.
    type: int
    default: -1
  desired_capacity:
    description: The desired capacity. V(-1) leaves it, or moves it into the new limits.
    type: int
    default: -1
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 2700
attributes:
  check_mode:
    description: Shows the sizes that it would set, and sets none.
    support: full
  diff_mode:
    description: The result has both sizes.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Have five workers at night
  wekruit.ghosthands.autoscaling_group_scale:
    desired_capacity: 5
"""

RETURN = r"""
before:
  description: The sizes as they were.
  returned: success
  type: dict
  sample: {min_size: 1, max_size: 10, desired_capacity: 2}
after:
  description: The sizes as they were set.
  returned: success
  type: dict
  sample: {min_size: 1, max_size: 10, desired_capacity: 5}
reached:
  description: Whether the wait ended. Always false in check mode.
  returned: success
  type: bool
"""
