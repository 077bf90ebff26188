#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_hosts
version_added: 0.1.0
short_description: Ask every host of a fleet what it lacks
description:
  - Runs C(ghosthands-agent doctor --json) on each instance that is in service or waits in a hook, 32 at once, 90 seconds each.
  - Nothing that a host says is trusted. One that cannot be asked, or that answers with anything but findings, is told as such; the task does not fail.
author:
  - WeKruit (@WeKruit)
options:
  by:
    description:
      - V(ssh) uses your own ssh client, as C(ec2-user), to the instance's public address, then its private one. Your configuration, agent and jump hosts
        count. A host's key is trusted at first sight and kept in C(~/.ssh/ghosthands_known_hosts) under the instance's id.
      - V(ssm) uses Systems Manager's Run Command (C(AWS-RunShellScript)). It needs the instances to be managed (O(ignore:fleet_session_manager)), and to send
        a command is a write. It was tried on written answers only, never on AWS.
    type: str
    required: true
    choices: [ssh, ssm]
  key_file:
    description: The private key for V(ssh). Empty means what your ssh client would use.
    type: str
    default: ""
attributes:
  check_mode:
    description: It changes nothing, but that V(ssm) sends a command.
    support: partial
    details: By O(by=ssm) nothing is asked in check mode.
  diff_mode:
    description: There is nothing to differ.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Read the hosts
  wekruit.ghosthands.fleet_hosts:
    by: ssh
  register: asked

- name: Check the fleet, with the hosts
  wekruit.ghosthands.lifecycle_check:
    hosts: "{{ asked.hosts }}"
"""

RETURN = r"""
hosts:
  description: One for each instance.
  returned: where they were asked
  type: list
  elements: dict
  contains:
    instance:
      description: Its id; the group's name where the group could not be asked for its instances.
      type: str
    problem:
      description: Why it could not be asked. Empty where it was.
      type: str
    findings:
      description: What its doctor found.
      type: list
      elements: dict
"""
