# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§7: the security group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Rule
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, first_of
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.internet import is_internet

PLAYBOOK = "security_group.yml"
EVERY_PORT = "every port"


@check("security-group", 7)
def _security_group(view: View) -> str:
    """Instances are in the security group and in no other."""
    desired, found = view.settings["fleet_security_group_name"], view.security_groups
    if gone := set(view.template.security_groups) - found.keys():
        raise Failed(
            f"Security group {', '.join(sorted(gone))} of the launch template does not exist: no instance can launch.",
            view.roll_out(site=True),
        )
    names = sorted(group.name for group in found.values())
    if names != [desired]:
        raise Failed(
            f"Instances are in {', '.join(names) or 'no security group'}, not in {desired} alone.",
            view.roll_out(),
            found=names,
        )
    return str(desired)


@check("instances-security-groups", 7)
def _instances(view: View) -> str:
    """Running instances are in the launch template's security groups: anybody may change them on an instance."""
    desired, instances = frozenset(view.template.security_groups), view.current_instances
    if other := {i.id: sorted(i.security_groups) for i in instances if i.security_groups != desired}:
        modify = f"ec2 modify-instance-attribute --groups {' '.join(sorted(desired))} --instance-id"
        raise Failed(
            f"{count(len(other), 'instance')} in other security groups than the launch template's: {first_of(other)}.",
            view.aws(
                "Set them again (a second network interface has groups of its own: delete it):",
                *(f"{modify} {id}" for id in sorted(other)[:5]),
            ),
            instances=other,
            wanted=sorted(desired),
        )
    return f"{count(len(instances), 'instance')} as the launch template says"


@check("security-group-open", 7)
def _open(view: View) -> str:
    """No port is open to the whole world, by one rule or by several together, networks of prefix lists included."""
    ports = {group.name: open_ports(group.inbound) for group in view.security_groups.values()}
    if bad := {name: of_group for name, of_group in ports.items() if of_group}:
        listed = "; ".join(f"{name}: {', '.join(of_group)}" for name, of_group in sorted(bad.items()))
        wide = sorted(k for k in view.settings if k.endswith("_cidrs") and _is_wide(view.settings[k]))
        text = f"Name your own networks in {', '.join(wide)}, then run" if wide else "Run"
        raise Failed(f"Open to the whole world: {listed}.", view.run(PLAYBOOK, text=text), open=bad)
    return "closed to the world"


def _is_wide(sources: Iterable[str]) -> bool:
    return is_internet(source for source in sources if not source.startswith("pl-"))


@check("security-group-egress", 7)
def _egress(view: View) -> str:
    """Instances may call everything: AWS, the registry, and the pages that workers visit."""
    if not view.security_groups:
        raise Skipped("the launch template names none that exists")
    ports = open_ports(rule for group in view.security_groups.values() for rule in group.outbound)
    if ports != [EVERY_PORT]:
        raise Failed(
            f"Instances may not call the whole internet, only {', '.join(ports) or 'some networks'}: "
            "agents need AWS's services, workers every page that a job names.",
            view.run(PLAYBOOK),
            open=ports,
        )
    return "open"


def open_ports(rules: Iterable[Rule]) -> list[str]:
    """The ports that half of the internet or more may use, in words: several rules count together."""
    every = list(rules)
    protocols = sorted({rule.protocol for rule in every} - {"-1"})
    if is_internet(network for rule in every if rule.protocol == "-1" for network in rule.networks):
        return [EVERY_PORT]
    return [
        f"{protocol} {first}" if first == last else f"{protocol} {first} to {last}"
        for protocol in protocols
        for first, last in _spans([rule for rule in every if rule.protocol in ("-1", protocol)])
    ]


def _spans(rules: list[Rule]) -> Iterator[tuple[int, int]]:
    """Ranges of ports, as long as possible, that half of the internet or more may use."""
    begin: int | None = None
    edges = sorted({edge for rule in rules for edge in (rule.first, rule.last + 1)})
    for edge in edges:  # no rule has the last one
        if is_internet(network for rule in rules if rule.first <= edge <= rule.last for network in rule.networks):
            begin = edge if begin is None else begin
        elif begin is not None:
            yield begin, edge - 1
            begin = None
