#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_drill
version_added: 0.1.0
short_description: Launch one instance, drain and end one, and time every step
description:
  - Raises the group's desired capacity by one, waits until the new instance is in service, lowers it by one, and follows the instance that goes
    through its termination hook until it is gone.
  - It never writes over a desired capacity that somebody else wrote meanwhile; it stops, leaves that, and says so.
  - Whatever happens, also Ctrl-C, desired capacity is put back as it was.
  - It refuses a group that is not at rest, has no room for one more, or no termination hook; and more than one fleet at once.
  - A drill that goes wrong is a finding, for O(wekruit.ghosthands.lifecycle_check#module:drill), and no failure of the task.
author:
  - WeKruit (@WeKruit)
options:
  kind:
    description:
      - V(scale_in) lowers desired capacity, as VALET does, and the group chooses who goes.
      - V(terminate) ends one instance that is in service, idle and not protected from scale-in.
    type: str
    required: true
    choices: [scale_in, terminate]
  production:
    description: Drill a fleet also where one of its names (host, inventory, O(ignore:fleet_name), group) says C(prod) or C(production).
    type: bool
    default: false
  busy:
    description: Instances whose workers are known to be at work, besides those that are protected. They are never ended.
    type: list
    elements: str
    default: []
  log:
    description: A file to write each step to, as Ansible shows nothing of a task that Ctrl-C ends. Empty means none.
    type: str
    default: ""
attributes:
  check_mode:
    description: Says whether the drill could begin, and changes nothing.
    support: full
  diff_mode:
    description: There is nothing to differ.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: See how long a worker takes to come and to go
  wekruit.ghosthands.fleet_drill:
    kind: scale_in
  register: drill

- name: Check the fleet, with the drill
  wekruit.ghosthands.lifecycle_check:
    drill: "{{ drill.finding }}"
"""

RETURN = r"""
finding:
  description: How it went, as a finding of M(wekruit.ghosthands.lifecycle_check).
  returned: not in check mode
  type: dict
launched:
  description: The new instance. Empty where none came.
  returned: not in check mode
  type: str
ended:
  description: The instance that went. Empty where none was told to.
  returned: not in check mode
  type: str
seconds:
  description:
    - How long each step took, as far as it came. C(launch) until the group shows the new instance, C(boot) until it is in service,
      C(wait) from the order until one waits in its hook, C(drain) until the hook is completed, C(gone) until it is out of the group.
    - To a second or so.
  returned: not in check mode
  type: dict
  sample: {launch: 1.0, boot: 38.2, wait: 2.1, drain: 11.3, gone: 24.0}
stands:
  description: How desired capacity was left.
  returned: not in check mode
  type: str
"""
