#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/fleet_command.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_command
version_added: 0.1.0
short_description: Hold, resume, renew or release the workers of a fleet, in place
description:
  - Writes a wish to tags of instances, which their agents read at the metadata service, and waits for the answers that
    the agents write to tags of their own. It needs no port, no key and no Systems Manager.
  - V(hold) and V(resume) go to every instance at once. V(renew) and V(release) restart workers, each when it is idle.
    So they begin with the canaries, go on in batches, and stop at the first instance that fails. That one has its
    former worker back by then.
  - It can be interrupted at any time. The same command goes on with what it has begun; two renewals or releases of a
    whole fleet at once are refused.
author:
  - WeKruit (@WeKruit)
options:
  verb:
    description:
      - V(hold) lets workers take no more jobs; the running ones finish. For the whole fleet nothing is launched until
        V(resume), as the process Launch is suspended, and what is launched all the same is held.
      - V(resume) lets workers take jobs again, and resumes Launch where V(hold) has suspended it.
      - V(renew) fetches the secret and a registry login, and restarts the worker with them.
      - V(release) pulls the image of C(fleet_worker_image) beside the running worker and restarts the worker with it.
        For the whole fleet new instances follow, by a launch template version that differs in the image alone.
    type: str
    required: true
    choices: [hold, resume, renew, release]
  instances:
    description: Ids of instances of the group. The whole fleet if empty.
    type: list
    elements: str
    default: []
  canary:
    description: How many instances are told first, with V(renew) and V(release).
    type: int
    default: 1
  batch:
    description: How many are told at once after these.
    type: int
    default: 5
  timeout:
    description: How long to wait for every answer, in seconds.
    type: int
    default: 2700
attributes:
  check_mode:
    description: Shows which instances it would tell, and tells none.
    support: full
  diff_mode:
    description: It has no diff.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Let every worker use the rotated secret
  wekruit.ghosthands.fleet_command:
    verb: renew
    batch: 10
"""

RETURN = r"""
id:
  description: The command's id; that of the command under way where it was continued.
  returned: success
  type: str
  sample: 0a1b2c3d
told:
  description: The instances that were told, or would be in check mode.
  returned: success
  type: list
  elements: str
"""
