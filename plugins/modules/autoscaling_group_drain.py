#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_group_drain
version_added: 0.1.0
short_description: Empty an Auto Scaling group, every worker drained
description:
  - Sets the group's least and desired size to 0 and waits until its termination hook has let every instance go. Shows progress.
  - Takes the shield of instances that are protected from scale-in. Their workers are drained by the termination hook all the same.
  - Ends instances in Standby, which no scale-in reaches.
  - Fails, and says what to do, when instances are left after O(timeout), or when some were retained because their drain failed.
  - Interrupted, it can be run again; the group goes on draining by itself.
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
    description: Says whether the group would have to be emptied.
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
  description: What the group holds.
  returned: success
  type: str
"""
