#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/fleet_drill.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_drill
version_added: 0.1.0
short_description: Launch one instance, drain and terminate one, and time each step
description:
  - Raises the group's desired capacity by one, waits until the new instance is in service, lowers it by one, and
    follows the instance that is terminated through its hook until it is gone.
  - Never overwrites a desired capacity that somebody else wrote meanwhile. It stops, leaves that, and reports it.
  - Restores desired capacity whatever happens, also after Ctrl-C.
  - Refuses several fleets, and a group that is not stable or has no room for one more instance or no termination hook.
  - A drill that fails is a finding, for O(wekruit.ghosthands.lifecycle_check#module:drill). The task does not fail.
author:
  - WeKruit (@WeKruit)
options:
  kind:
    description:
      - V(scale_in) lowers desired capacity, as VALET does, and the group chooses the instance.
      - V(terminate) terminates one instance that is in service, idle and not protected from scale-in.
    type: str
    required: true
    choices: [scale_in, terminate]
  production:
    description:
      - Allow a drill of a production fleet, that is, one of whose names (host, inventory, O(ignore:fleet_name), group)
        C(prod) or C(production) is a part.
    type: bool
    default: false
  busy:
    description: Instances whose workers are known to be busy, besides the protected ones. They are never terminated.
    type: list
    elements: str
    default: []
  log:
    description: A file to write each step to, as Ansible shows nothing of a task that Ctrl-C ends. Empty for none.
    type: str
    default: ""
attributes:
  check_mode:
    description: Reports whether the drill could begin, and changes nothing.
    support: full
  diff_mode:
    description: It has no diff.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Time how long a worker takes to boot and to drain
  wekruit.ghosthands.fleet_drill:
    kind: scale_in
  register: drill

- name: Check the fleet, with the drill
  wekruit.ghosthands.lifecycle_check:
    drill: "{{ drill.finding }}"
"""

RETURN = r"""
finding:
  description: The result, as a finding of M(wekruit.ghosthands.lifecycle_check).
  returned: not in check mode
  type: dict
launched:
  description: The new instance. Empty if there is none.
  returned: not in check mode
  type: str
ended:
  description: The instance that was terminated. Empty if there is none.
  returned: not in check mode
  type: str
seconds:
  description:
    - How long each step took, to a second or so, as far as the drill came.
    - C(launch) until the group lists the new instance, C(boot) until it is in service, C(wait) until the instance to
      terminate waits in its hook, C(drain) until the hook is completed, C(gone) until it has left the group.
  returned: not in check mode
  type: dict
  sample: {launch: 1.0, boot: 38.2, wait: 2.1, drain: 11.3, gone: 24.0}
stands:
  description: How desired capacity was left.
  returned: not in check mode
  type: str
"""
