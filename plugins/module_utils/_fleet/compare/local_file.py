# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible.builtin.copy and ansible.builtin.file on the machine that runs the playbooks: VALET's settings."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import same
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import Resource

COPY = Resource(
    read=lambda call, p: call("file", "read", path=p["dest"]),
    says={"dest": None, "content": same("content"), "mode": same("mode")},
)
FILE = Resource(
    read=lambda call, p: call("file", "read", path=p["path"]),
    says={"path": None, "state": same("state"), "mode": same("mode")},
)
