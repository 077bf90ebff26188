#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/aws_retry.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: aws_retry
version_added: 0.1.0
short_description: Repeat a task that AWS refused for a while only, or say why AWS refuses it
description:
  - AWS's services see what another service has created some seconds later, such as Auto Scaling an instance profile.
    Where a module's error is one of these, runs the module again until it succeeds, and shows what it waits for.
  - Fails at once for every other error. Where the module's message lacks AWS's reason, runs it once more and adds the
    reason from its traceback.
  - Fails with one message, which says what AWS does not see and what to do.
author:
  - WeKruit (@WeKruit)
options:
  module:
    description: The module's full name.
    type: str
    required: true
  arguments:
    description: The module's parameters, as in the task that failed.
    type: dict
    required: true
  refusal:
    description: The message of the task that failed.
    type: str
    required: true
  timeout:
    description: How long to try, in seconds.
    type: int
    default: 120
  delay:
    description: The pause between two attempts, in seconds.
    type: int
    default: 5
attributes:
  check_mode:
    description: Nothing is refused in check mode, so the task is skipped.
    support: none
  diff_mode:
    description: There is nothing to show.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Create the Auto Scaling group
  wekruit.ghosthands.autoscaling_group_settings: &group
    name: gh-worker-asg
    launch_template: {launch_template_name: gh-worker-lt}
    min_size: 1
    max_size: 10
  register: created
  failed_when: false

- name: Try again while AWS does not see the template yet, or say why AWS refuses the group
  wekruit.ghosthands.aws_retry:
    module: wekruit.ghosthands.autoscaling_group_settings
    arguments: *group
    refusal: "{{ created.msg }}"
  when: created.failed_when_suppressed_exception is defined
"""

RETURN = r"""
msg:
  description: The module's result, or why AWS refuses.
  returned: failure
  type: str
"""
