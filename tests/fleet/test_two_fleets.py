"""Two fleets in one account: one run converges both, and neither writes to the other."""

from __future__ import annotations

import json
from typing import Any

from localcloud.testing import is_write

from tests.fleet.cloud import PlaybookCloud

NAMES = {"staging": "gh-worker-staging", "local": "gh-worker-local"}
OWN: dict[str, dict[str, Any]] = {
    "staging": {
        "fleet_secret_name": "ghosthands/worker/staging",
        "fleet_log_group_name": "/wekruit/staging",
        "fleet_instance_type": "t3.large",
    },
    "local": {"fleet_secret_name": "ghosthands/worker/local", "fleet_log_group_name": "/wekruit/local"},
}
SHARED = {"ghosthands"}  # the repository: both run the same image


def hosts(**changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The two hosts' variables, with a test's changes."""
    return {host: {"fleet_name": name, **OWN[host], **changes.get(host, {})} for host, name in NAMES.items()}


def owners(cloud: PlaybookCloud) -> dict[str, set[str]]:
    """host -> what identifies its fleet in a call: names, and ids that AWS generated."""
    ec2 = cloud.client("ec2")
    identifiers = {
        host: {name, OWN[host]["fleet_secret_name"], OWN[host]["fleet_log_group_name"]} for host, name in NAMES.items()
    }
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        for host, name in NAMES.items():
            if group["GroupName"] == f"{name}-sg":
                identifiers[host].add(group["GroupId"])
    for template in ec2.describe_launch_templates()["LaunchTemplates"]:
        for host, name in NAMES.items():
            if template["LaunchTemplateName"] == f"{name}-lt":
                identifiers[host].add(template["LaunchTemplateId"])
    return identifiers


def written_for(cloud: PlaybookCloud) -> list[tuple[str, frozenset[str]]]:
    """(action, the hosts whose fleets it names) of every write in the trace, except of what both share."""
    identifiers, found = owners(cloud), []
    for call in cloud.calls():
        if is_write(call["action"]) and call["parameters"].get("repositoryName") not in SHARED:
            parameters = json.dumps(call["parameters"])
            found.append(
                (
                    call["action"],
                    frozenset(host for host, names in identifiers.items() if any(name in parameters for name in names)),
                )
            )
    return found


def test_one_run_converges_both_and_neither_alone_has_anything_to_do(empty_cloud: PlaybookCloud) -> None:
    cloud = empty_cloud
    cloud.prepare(*SHARED, *(own["fleet_secret_name"] for own in OWN.values()))
    first = cloud.play_hosts("site.yml", hosts=hosts())
    assert first.returncode == 0, first
    written = written_for(cloud)
    assert {fleets for _action, fleets in written} == {frozenset({"staging"}), frozenset({"local"})}, (
        "every write names exactly one of them"
    )

    cloud.clear_trace()
    both = cloud.play_hosts("site.yml", hosts=hosts())
    assert (both.returncode, both.changed) == (0, 0), both
    for host in NAMES:
        alone = cloud.play_hosts("site.yml", "--limit", host, hosts=hosts())
        assert (alone.returncode, alone.changed) == (0, 0), alone
    assert cloud.writes() == []

    change = hosts(staging={"fleet_cooldown_seconds": 60, "fleet_volume_size_gib": 60})
    changed = cloud.play_hosts("site.yml", hosts=change)
    assert changed.returncode == 0, changed
    assert {host: counts["changed"] for host, counts in changed.recap.items()} == {"staging": 2, "local": 0}
    assert {fleets for _action, fleets in written_for(cloud)} == {frozenset({"staging"})}
    cloud.clear_trace()
    assert cloud.play_hosts("site.yml", hosts=change).changed == 0
    assert cloud.writes() == []
