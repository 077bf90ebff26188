#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/instance_drain.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: instance_drain
version_added: 0.1.0
short_description: Drain and end one instance of a fleet
description:
  - Ends the instance by TerminateInstanceInAutoScalingGroup, so that its termination hook keeps it until its agent has
    finished or handed back the running job. Scale-in protection does not prevent that.
  - Waits until it has left the group, and where it is replaced until as many instances as desired are in service. Shows
    its job where the worker registry can be read.
  - Fails before it changes anything where a job would be lost (no termination hook, no agent), where the group may not
    shrink, or where the instance would not be replaced. One that is ending already is waited for; one that has left is
    not an error.
author:
  - WeKruit (@WeKruit)
options:
  instance:
    description: The instance's id.
    type: str
    required: true
  replace:
    description: Whether another instance is launched in its place; else the desired capacity is lowered by one.
    type: bool
    default: true
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 2700
attributes:
  check_mode:
    description: Shows what it would end, and ends nothing.
    support: full
  diff_mode:
    description: It has no diff.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Take a host with a bad disk out of the fleet
  wekruit.ghosthands.instance_drain:
    instance: i-0123456789abcdef0
"""

RETURN = r"""
msg:
  description: What became of the instance.
  returned: success
  type: str
"""
