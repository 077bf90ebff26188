#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/fleet_bundle.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fleet_bundle
version_added: 0.1.0
short_description: Fetch support bundles from the hosts of a fleet
description:
  - Runs C(ghosthands-agent collect) on hosts and writes what each has collected to a file that only you may read. That
    is the journal, the agent's configuration and records, containers with their logs, cloud-init's logs and the doctor.
  - The agent masks the bundle on the host. Values of the secret, tokens, passwords in addresses and private keys do not
    leave it, in whatever form they were logged.
  - A host without a bundle fails the task, after the bundles of the others were written.
author:
  - WeKruit (@WeKruit)
options:
  by:
    description:
      - The way to the hosts. V(ssh) and V(ssm) are those of M(wekruit.ghosthands.fleet_hosts). By V(ssm) a bundle
        arrives in pieces of 17 KB, which takes some seconds each. V(never) is refused.
    type: str
    required: true
    choices: [never, ssh, ssm]
  key_file:
    description: The private key for V(ssh). Empty for the one that your ssh client chooses.
    type: str
    default: ""
  instances:
    description: Ids of instances of the group. All of them, whatever their state, if empty.
    type: list
    elements: str
    default: []
  folder:
    description: The folder that gets the bundles. It is made if it does not exist.
    type: str
    required: true
attributes:
  check_mode:
    description: Shows which hosts it would ask, and asks none.
    support: full
  diff_mode:
    description: It has no diff.
    support: none
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Collect what a host knows about the job that it lost
  wekruit.ghosthands.fleet_bundle:
    by: ssh
    instances: [i-0123456789abcdef0]
    folder: build/collect
"""

RETURN = r"""
files:
  description: The bundles that were written.
  returned: always
  type: list
  elements: str
problems:
  description: Instance and reason of each without a bundle.
  returned: always
  type: dict
"""
