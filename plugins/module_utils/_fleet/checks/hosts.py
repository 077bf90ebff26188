# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What agents say of their own hosts (`ghosthands-agent doctor --json`): one finding for each of the doctor's checks, all instances together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import Host, View, count
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding

SECTION = 11
KEYS = {"id", "severity", "ok", "detail", "remedy"}


def from_hosts(v: View) -> Iterator[Finding]:
    """The findings; none where nobody was to ask."""
    if v.hosts is None:
        return
    mute = {h.instance: h.problem for h in v.hosts if h.problem} | {
        h.instance: "its answer cannot be understood" for h in v.hosts if _odd(h)
    }
    if mute:
        said = "; ".join(f"{instance}: {why}" for instance, why in sorted(mute.items())[:5])
        remedy = "See whether it can be reached (fleet_host_checks), and whether its image has the agent."
        yield Finding(
            "host-asked",
            "warning",
            f"{count(len(mute), 'host')} could not be asked: {said}.",
            remedy,
            section=SECTION,
            evidence=mute,
        )
    else:
        yield Finding("host-asked", "warning", f"{count(len(v.hosts), 'host')} asked", ok=True, section=SECTION)
    said_of = defaultdict[str, dict[str, Mapping[str, Any]]](dict)
    for host in v.hosts:
        for finding in host.findings if host.instance not in mute else ():
            said_of[str(finding["id"])][host.instance] = finding
    for name, by_instance in sorted(said_of.items()):
        yield _together(f"host-{name.replace('_', '-')}", by_instance)


def _odd(host: Host) -> bool:
    understood = bool(host.findings) and all(isinstance(f, Mapping) and f.keys() >= KEYS for f in host.findings)
    return not host.problem and not understood


def _together(name: str, by_instance: Mapping[str, Mapping[str, Any]]) -> Finding:
    bad = {instance: f for instance, f in sorted(by_instance.items()) if not f["ok"]}
    if not bad:
        example = next(iter(by_instance.values()))
        return Finding(
            name,
            str(example["severity"]),
            str(example["detail"]),
            ok=True,
            section=SECTION,
            evidence={"hosts": len(by_instance)},
        )
    first = next(iter(bad.values()))
    said = "; ".join(f"{instance}: {f['detail']}" for instance, f in list(bad.items())[:3])
    severity = "error" if any(f["severity"] == "error" for f in bad.values()) else "warning"
    return Finding(
        name,
        severity,
        f"{len(bad)} of {count(len(by_instance), 'host')}: {said}.",
        str(first["remedy"]),
        section=SECTION,
        evidence={instance: f["detail"] for instance, f in bad.items()},
    )
