# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§11: what `ghosthands-agent doctor --json` found on the hosts, one finding for each of the doctor's checks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import Host, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count

SECTION = 11
ASKED = "host-asked"
KEYS = {"id", "severity", "ok", "detail", "remedy"}


def from_hosts(view: View) -> Iterator[Finding]:
    """The findings, each about all instances; one that nothing is known where the hosts were not asked."""
    if view.hosts is None:
        yield _not_asked()
        return
    silent = {
        host.instance: host.problem or "its answer cannot be understood" for host in view.hosts if not _answered(host)
    }
    yield _asked(silent, len(view.hosts))
    by_check = defaultdict[str, dict[str, Mapping[str, Any]]](dict)
    for host in view.hosts:
        for finding in host.findings if host.instance not in silent else ():
            by_check[str(finding["id"])][host.instance] = finding
    for name, by_instance in sorted(by_check.items()):
        yield _combined(f"host-{name.replace('_', '-')}", by_instance)


def _answered(host: Host) -> bool:
    understood = bool(host.findings) and all(isinstance(f, Mapping) and f.keys() >= KEYS for f in host.findings)
    return not host.problem and understood


def _not_asked() -> Finding:
    return Finding(
        ASKED,
        "info",
        "Not looked at: no host was asked (fleet_host_checks), so nothing is known of what runs there, such as whether "
        "workers have the drain guard.",
        ok=True,
        section=SECTION,
        evidence={"looked": False},
    )


def _asked(silent: Mapping[str, str], hosts: int) -> Finding:
    if not silent:
        return Finding(ASKED, "warning", f"{count(hosts, 'host')} asked", ok=True, section=SECTION)
    listed = "; ".join(f"{instance}: {problem}" for instance, problem in sorted(silent.items())[:5])
    return Finding(
        ASKED,
        "warning",
        f"{count(len(silent), 'host')} could not be asked: {listed}.",
        Remedy("See whether it can be reached (fleet_host_checks), and whether its image has the agent."),
        section=SECTION,
        evidence=silent,
    )


def _combined(id: str, by_instance: Mapping[str, Mapping[str, Any]]) -> Finding:
    """One finding for the same check of all hosts."""
    failed = {instance: finding for instance, finding in sorted(by_instance.items()) if not finding["ok"]}
    if not failed:
        example = next(iter(by_instance.values()))
        severity, detail = str(example["severity"]), str(example["detail"])
        return Finding(id, severity, detail, ok=True, section=SECTION, evidence={"hosts": len(by_instance)})
    first = next(iter(failed.values()))
    listed = "; ".join(f"{instance}: {finding['detail']}" for instance, finding in list(failed.items())[:3])
    severity = "error" if any(finding["severity"] == "error" for finding in failed.values()) else "warning"
    return Finding(
        id,
        severity,
        f"{len(failed)} of {count(len(by_instance), 'host')}: {listed}.",
        Remedy(str(first["remedy"])),
        section=SECTION,
        evidence={instance: finding["detail"] for instance, finding in failed.items()},
    )
