#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/fleet_hosts.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_hosts
version_added: 0.1.0
short_description: Run the agent's doctor on every host of a fleet
description:
  - Runs C(ghosthands-agent doctor --json) on each instance that is in service or waits in a hook, 32 at once, for 90
    seconds at most.
  - Nothing that a host prints is trusted. A host that cannot be reached, or prints anything but findings, is reported
    with the problem. The task does not fail.
author:
  - WeKruit (@WeKruit)
options:
  by:
    description:
      - V(ssh) uses your own ssh client, as C(ec2-user), with the instance's public address, then its private one. Your
        configuration, agent and jump hosts apply. A host's key is trusted on first use and kept in
        C(~/.ssh/ghosthands_known_hosts) under the instance's id.
      - V(ssm) uses Systems Manager's Run Command (C(AWS-RunShellScript)). Systems Manager has to manage the instances
        (O(ignore:fleet_session_manager)), and sending a command is a write. It is tested with recorded answers only,
        never on AWS.
    type: str
    required: true
    choices: [ssh, ssm]
  key_file:
    description: The private key for V(ssh). Empty for the one that your ssh client chooses.
    type: str
    default: ""
attributes:
  check_mode:
    description: It changes nothing, but with V(ssm) it sends a command.
    support: partial
    details: With O(by=ssm) nothing is run in check mode.
  diff_mode:
    description: It has no diff.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Read the hosts
  wekruit.ghosthands.fleet_hosts:
    by: ssh
  register: doctor

- name: Check the fleet, with the hosts
  wekruit.ghosthands.lifecycle_check:
    hosts: "{{ doctor.hosts }}"
"""

RETURN = r"""
hosts:
  description: One for each instance.
  returned: unless O(by=ssm) in check mode
  type: list
  elements: dict
  contains:
    instance:
      description: Its id, or the group's name if the group could not be read.
      type: str
    problem:
      description: Why there are no findings. Empty if there are.
      type: str
    findings:
      description: The findings of its doctor.
      type: list
      elements: dict
"""
