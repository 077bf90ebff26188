# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of actions that read the account in the controller's own process."""

from __future__ import annotations


class ModuleDocFragment:
    """`extends_documentation_fragment: wekruit.ghosthands.connection`"""

    DOCUMENTATION = r"""
options:
  spec:
    description: The argument spec of the C(fleet_*) variables, next to the playbook that runs.
    type: str
    default: vars/fleet_spec.yml
  region:
    description: The AWS region.
    type: str
  endpoint_url:
    description: An endpoint to use instead of AWS's own.
    type: str
  profile:
    description: A profile of the AWS configuration.
    type: str
  access_key:
    description: An access key id.
    type: str
  secret_key:
    description: The secret key that belongs to O(access_key).
    type: str
attributes:
  action:
    description: Runs on the controller.
    support: full
notes:
  - Runs in the controller's own process, with its Python, credentials and environment. A task's C(environment) has no
    effect on it.
"""
