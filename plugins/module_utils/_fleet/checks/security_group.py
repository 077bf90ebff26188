# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§7: the security group."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check


@check("security-group", 7)
def _security_group(view: View) -> str:
    """Instances are in the security group and in no other."""
    desired, found = view.settings["fleet_security_group_name"], view.security_groups
    if gone := set(view.template.security_groups) - found.keys():
        raise Failed(
            f"Security group {', '.join(sorted(gone))} of the launch template does not exist: no instance can launch.",
            view.run("site.yml"),
        )
    names = sorted(group.name for group in found.values())
    if names != [desired]:
        raise Failed(
            f"Instances are in {', '.join(names) or 'no security group'}, not in {desired} alone.",
            view.run("site.yml"),
            found=names,
        )
    return str(desired)


@check("security-group-open", 7)
def _open(view: View) -> str:
    """No port is open to the whole world."""
    ports = {group.name: list(group.open_to_world) for group in view.security_groups.values() if group.open_to_world}
    if ports:
        listed = "; ".join(f"{name}: {', '.join(of_group)}" for name, of_group in sorted(ports.items()))
        raise Failed(f"Open to the whole world: {listed}.", view.run("security_group.yml"), open=ports)
    return "closed to the world"
