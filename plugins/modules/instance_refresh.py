#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/instance_refresh.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: instance_refresh
version_added: 0.1.0
short_description: Replace a fleet's instances by another version of its launch template
description:
  - A rollout by two instance refreshes of AWS. The first replaces the canaries and is cancelled as soon as they are in
    service, so that the group launches the version before for as long as nobody has verified the new one. The second
    replaces the others, and AWS moves the group's version when it succeeds.
  - Busy instances are drained through their termination hook. The desired capacity is never written.
  - Goes back by itself where a canary does not come into service, is unhealthy, is not right by O(findings) or by the
    worker registry, or where a refresh fails. The message then says why.
  - Every step is derived from what AWS shows, so the same task goes on wherever an earlier run was interrupted. The
    group's tag C(ghosthands:rollout) says who rolls what; another operator is refused.
  - Shows the progress, and the command that goes on with it. If it is interrupted, what AWS has begun goes on.
author:
  - WeKruit (@WeKruit)
options:
  step:
    description:
      - V(plan) shows what would be done and refuses what cannot be done.
      - V(canaries) takes the rollout that is under way or begins one, until the canaries are in service.
      - V(bake) lets them work for C(fleet_rollout_bake_minutes), and for their first job where they have one.
      - V(remaining) judges them and replaces the others, or goes back.
    type: str
    required: true
    choices: [plan, canaries, bake, remaining]
  version:
    description: The launch template version to go to. A rollout that is under way goes on with its own.
    type: str
    default: ""
  rollback:
    description:
      - Go to the version that the last finished rollout replaced (the group's tag C(ghosthands:last-version)) instead
        of O(version); of a rollout that is under way, back to the one before it.
    type: bool
    default: false
  rollout:
    description: The result of the step before.
    type: dict
  findings:
    description: What M(wekruit.ghosthands.lifecycle_check) returned as C(findings). Errors that name a canary count.
    type: list
    elements: dict
    default: []
attributes:
  check_mode:
    description: Shows the plan, and fails where a run would refuse.
    support: full
  diff_mode:
    description: Shows the two versions of the launch template, where both exist.
    support: full
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Replace the canaries
  wekruit.ghosthands.instance_refresh:
    step: canaries
    version: "7"
  register: rollout

- name: Let them work
  wekruit.ghosthands.instance_refresh:
    step: bake
    rollout: "{{ rollout }}"
  register: rollout

- name: Replace the others
  wekruit.ghosthands.instance_refresh:
    step: remaining
    rollout: "{{ rollout }}"
"""

RETURN = r"""
msg:
  description: What was done, or would be.
  returned: success
  type: str
finished:
  description: Whether nothing is left to do.
  returned: success
  type: bool
canaries:
  description: The instances of the new version in service, before they are judged.
  returned: success
  type: list
  elements: str
tag:
  description: The value of the group's tag C(ghosthands:rollout), by which the next step goes on.
  returned: success
  type: str
version:
  description: The launch template version that is rolled out, or that the group is on its way back to.
  returned: O(step=canaries), O(step=bake) and O(step=remaining)
  type: str
settled_at:
  description: Since when the canaries are in service, in seconds since 1970. 0 where that is not known.
  returned: success
  type: float
plan:
  description: What would be done, in lines.
  returned: O(step=plan), and in check mode
  type: list
  elements: str
"""
