#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Documentation only: ../action/worker_secret.py does the work.

from __future__ import annotations

DOCUMENTATION = r"""
---
module: worker_secret
version_added: 0.1.0
short_description: Write the workers' environment to Secrets Manager
description:
  - Takes the keys from a file or from the environment of the shell that runs Ansible, checks them by name as the agent
    does at boot, and writes the secret if anything differs. Creates it where there is none.
  - No value is ever shown, also not in a diff, at any verbosity or in an error, and none is on the command line of a
    process.
  - Running workers see a new value at their next boot.
author:
  - WeKruit (@WeKruit)
options:
  name:
    description: The secret's name.
    type: str
    required: true
  source:
    description:
      - Where the keys come from. V(environment) is the environment variables of the names in O(required) and
        O(allowed).
    type: str
    choices: [file, environment]
    default: file
  file:
    description: KEY=value lines or a JSON object of strings. A file that others than its owner may read is refused.
    type: str
    default: ""
  replace:
    description: Remove the keys that the source does not have. Otherwise keys are added and changed only.
    type: bool
    default: false
  required:
    description: Keys that the secret must have afterwards. V(A|B) means either of the two.
    type: list
    elements: str
    default: []
  allowed:
    description: Further keys that the source may have. Any other is refused.
    type: list
    elements: str
    default: []
  tags:
    description: Tags of a secret that is created.
    type: dict
attributes:
  check_mode:
    description: Reports what it would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows the names of the keys, and which of them have another value.
    support: full
extends_documentation_fragment:
  - wekruit.ghosthands.connection
"""

EXAMPLES = r"""
- name: Set one key, and keep the others
  wekruit.ghosthands.worker_secret:
    name: ghosthands/worker/env
    file: rotated.env
    allowed: [OPENAI_API_KEY]
"""

RETURN = r"""
created:
  description: Whether there was no secret.
  returned: success
  type: bool
added:
  description: The names of the keys that were added.
  returned: success
  type: list
  elements: str
changed_keys:
  description: The names of the keys that have another value.
  returned: success
  type: list
  elements: str
removed:
  description: The names of the keys that were removed.
  returned: success
  type: list
  elements: str
"""
