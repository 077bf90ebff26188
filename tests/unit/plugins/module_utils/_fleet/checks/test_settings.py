# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each rule of the variables, both sides of each limit."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.settings import (
    CIDRS,
    FORMATS,
    RANGES,
    UNIQUE,
    problems,
    shared_names,
    unknown_names,
)

Settings = dict[str, Any]
SUBNETS = ["subnet-0123456789abcdef0", "subnet-01234567"]


def test_the_defaults_break_no_rule(settings: Settings) -> None:
    assert problems(settings) == []


def test_the_problem_of_an_unknown_name_has_the_nearest_name() -> None:
    (problem,) = unknown_names(["fleet_min_sise", "fleet_min_size", "other"], ["fleet_min_size", "fleet_max_size"])
    assert "fleet_min_sise" in problem
    assert "fleet_min_size?" in problem


def test_the_problem_of_a_name_like_no_other_has_the_specs_path() -> None:
    (problem,) = unknown_names(["fleet_zzzzzzzzzzzzzzzz"], ["fleet_min_size"])
    assert "fleet_spec.yml" in problem


GOOD = {
    "fleet_name": ["g", "gh-worker", "a" * 32],
    "fleet_account_id": ["", "123456789012"],
    "fleet_vpc_id": ["", "vpc-01234567", "vpc-0123456789abcdef0"],
    "fleet_key_name": ["", "valet worker", "k" * 255],
    "fleet_key_public": ["", "ssh-ed25519 AAAA me@here", "ssh-rsa AAAA\n"],
    "fleet_repository_name": ["ab", "team/gh-worker.x_y", "a" * 256],
    "fleet_secret_name": ["ghosthands/worker/env", "ghosthands/worker/" + "a" * 494],
    "fleet_secret_scope": ["ghosthands/*", "ghosthands/worker/env"],
    "fleet_log_group_name": ["a", "/x/y-z.#_1", "a" * 512],
    "fleet_role_name": ["r", "a+=,.@-_" + "r" * 56],
    "fleet_policy_name": ["p" * 128],
    "fleet_instance_profile_name": ["p" * 128],
    "fleet_permissions_boundary_arn": ["", "arn:aws:iam::123456789012:policy/b", "arn:aws-cn:iam::aws:policy/path/b"],
    "fleet_security_group_name": ["g", "a (b) [c]" + "g" * 246],
    "fleet_launch_template_name": ["abc", "a" * 128],
    "fleet_image": ["keep", "newest", "ami-01234567", "ami-0123456789abcdef0"],
    "fleet_image_name_pattern": ["gh-*", "a" * 128],
    "fleet_instance_type": ["t3.medium", "u-6tb1.metal", "c7i-flex.large"],
    "fleet_volume_device": ["/dev/xvda", "/dev/sda1"],
    "fleet_volume_kms_key_id": [
        "",
        "alias/fleet",
        "01234567-89ab-cdef-0123-456789abcdef",
        "mrk-" + "0" * 32,
        "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef",
    ],
    "fleet_worker_image": ["", "host:5000/team/x:1.2", "team/x@sha256:" + "a" * 64],
    "fleet_group_name": ["g", "a b._/=+@-", "g" * 255],
    "fleet_termination_hook_name": ["h", "a-b_/c", "h" * 255],
    "fleet_launch_hook_name": ["h", "h" * 255],
    "fleet_valet_app": ["v", "valet-api-stg", "v" * 63],
    "fleet_valet_policy_name": ["p" * 128],
    "fleet_valet_user_name": ["", "u" * 64],
    "fleet_registry_table": ["gh_worker_registry", "public.gh_worker_registry", "_" * 63 + "." + "T" * 63],
    "fleet_registry_sslmode": ["", "disable", "require", "verify-ca", "verify-full"],
    "fleet_ssh_key_file": ["", "~/.ssh/valet-worker.pem"],
    "fleet_report_dir": ["", "build/report"],
    "fleet_collect_dir": ["build/collect"],
    "fleet_drain": ["", "i-01234567", "i-0123456789abcdef0"],
    "fleet_worker_memory": ["", "1024m", "1g", "16g"],
    "fleet_api_memory": ["", "64m"],
    "fleet_deploy_memory": ["", "64m"],
    "fleet_valet_dir": ["build/valet", "/a b"],
    "fleet_endpoint_url": ["", "http://127.0.0.1:5566", "https://aws.example/"],
}
BAD = {
    "fleet_name": ["", "1a", "-a", "a" * 33, "a b", "a\n"],
    "fleet_account_id": ["12345678901", "1234567890123", "12345678901a"],
    "fleet_vpc_id": ["vpc-1", "vpc-0123456789ABCDEF0", "subnet-01234567"],
    "fleet_key_name": [" k", "k ", "k" * 256, "k\n"],
    "fleet_key_public": ["AAAA", "ssh-dss AAAA", "ssh-rsa AAAA\nssh-rsa BBBB\n"],
    "fleet_repository_name": ["a", "A", "a//b", "-a", "a" * 257],
    "fleet_secret_name": ["", "a b", "a" * 513],
    "fleet_secret_scope": ["*", "ab*", "abc**", "a*c"],
    "fleet_log_group_name": ["", "a b", "a" * 513],
    "fleet_role_name": ["", "r" * 65, "a/b"],
    "fleet_policy_name": ["", "p" * 129],
    "fleet_instance_profile_name": ["", "p" * 129],
    "fleet_permissions_boundary_arn": ["boundary", "arn:aws:iam::123:policy/b", "arn:aws:iam::123456789012:role/b"],
    "fleet_security_group_name": ["", "sg-mine", "g" * 256, 'a"b'],
    "fleet_launch_template_name": ["ab", "a" * 129, "a b"],
    "fleet_image": ["", "latest", "ami-1", "ami-0123456789ABCDEF0"],
    "fleet_image_name_pattern": ["ab", "a" * 129, "a$b"],
    "fleet_instance_type": ["", "t3", "T3.medium", "t3.medium "],
    "fleet_volume_device": ["xvda", "/dev/", "/dev/xvda/1"],
    "fleet_volume_kms_key_id": ["key", "mrk-1", "arn:aws:iam::123456789012:role/r"],
    "fleet_worker_image": ["A", "x@sha256:1", "x:y z"],
    "fleet_group_name": ["", "g" * 256, "a:b"],
    "fleet_termination_hook_name": ["", "h" * 256, "a b"],
    "fleet_launch_hook_name": ["", "h" * 256, "a.b"],
    "fleet_valet_app": ["", "-v", "V", "v" * 64],
    "fleet_valet_policy_name": ["", "p" * 129],
    "fleet_valet_user_name": ["u" * 65, "a b"],
    "fleet_valet_dir": ["", "a\nb"],
    "fleet_registry_table": ["", "a b", "a.b.c", "1a", "t" * 64, 't"; DROP TABLE t; --', "t\n"],
    "fleet_registry_sslmode": ["prefer", "allow", "VERIFY-FULL", "require "],
    "fleet_ssh_key_file": ["a\nb"],
    "fleet_report_dir": ["a\nb"],
    "fleet_collect_dir": ["", "a\nb"],
    "fleet_drain": ["i-1", "i-0123456789ABCDEF0", "i-0123456789abcdef01", "all"],
    "fleet_worker_memory": ["2048", "1.5g", "2G", "1023m", "0"],
    "fleet_api_memory": ["63m", "1t"],
    "fleet_deploy_memory": ["1m", "512"],
    "fleet_endpoint_url": ["127.0.0.1:5566", "http://", "ftp://a", "http://a b"],
}


def test_every_format_has_good_and_bad_values() -> None:
    assert GOOD.keys() == BAD.keys() == FORMATS.keys()


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in GOOD.items() for v in values])
def test_what_aws_accepts_is_accepted(settings: Settings, name: str, value: str) -> None:
    assert [p for p in problems(settings | {name: value}) if p.startswith(f"{name} is ")] == []


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_what_aws_refuses_is_refused_by_name_and_with_what_to_write(settings: Settings, name: str, value: str) -> None:
    found = [p for p in problems(settings | {name: value}) if p.startswith(f"{name} is ")]
    assert len(found) == 1, found
    assert "write" in found[0]


@pytest.mark.parametrize(("name", "least", "most"), [(n, least, most) for n, (least, most, _unit) in RANGES.items()])
def test_a_number_is_accepted_at_both_its_limits_and_refused_beyond(
    settings: Settings, name: str, least: int, most: int
) -> None:
    def refused(value: int) -> bool:
        return any(p.startswith(f"{name} is ") for p in problems(settings | {name: value}))

    assert [refused(v) for v in (least - 1, least, most, most + 1)] == [True, False, False, True]


@pytest.mark.parametrize("name", CIDRS)
@pytest.mark.parametrize(
    "value", ["203.0.113.7", "203.0.113.7/24", "203.0.113.0/33", "2001:db8::1/32", "2001:DB8::/32", "office", ""]
)
def test_a_network_that_aws_would_refuse_or_spell_otherwise_is_refused(
    settings: Settings, name: str, value: str
) -> None:
    assert len([p for p in problems(settings | {name: [value]}) if p.startswith(name)]) == 1


@pytest.mark.parametrize("name", CIDRS)
def test_networks_of_both_kinds_are_accepted(settings: Settings, name: str) -> None:
    assert problems(settings | {name: ["203.0.113.7/32", "10.0.0.0/8", "2001:db8::/32"]}) == []


@pytest.mark.parametrize("world", [["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"], ["0.0.0.0/1"]])
def test_ssh_for_the_whole_world_is_refused_and_another_port_is_not(settings: Settings, world: list[str]) -> None:
    assert len(problems(settings | {"fleet_ssh_cidrs": world})) == 1
    assert problems(settings | {"fleet_api_cidrs": world}) == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("fleet_subnet_ids", SUBNETS, ["subnet-1", "subnet-01234567"]),
        ("fleet_instances", ["i-01234567"], ["i-01234567", "all"]),
        ("fleet_required_keys", ["KEY", "A|B"], ["key"]),
        ("fleet_ssh_security_group_ids", ["sg-01234567"], ["default"]),
        ("fleet_api_security_group_ids", ["sg-0123456789abcdef0"], ["sg-1"]),
        ("fleet_status_security_group_ids", [], [""]),
        ("fleet_deploy_security_group_ids", [], ["vpc-01234567"]),
        ("fleet_vnc_security_group_ids", ["sg-01234567"], ["sg"]),
        ("fleet_api_prefix_list_ids", ["pl-01234567", "pl-0123456789abcdef0"], ["pl-1"]),
        ("fleet_suspended_processes", ["Launch", "AZRebalance"], ["AZRebalanc"]),
        ("fleet_suspended_processes", [], ["nothing like it"]),
        ("fleet_termination_policies", ["OldestInstance", "Default"], ["Oldest"]),
        ("fleet_termination_policies", ["Default"], []),
        ("fleet_rollout_alarms", ["stuck"] * 10, ["stuck"] * 11),
    ],
)
def test_each_element_of_a_list_has_to_have_its_format(
    settings: Settings, name: str, good: list[str], bad: list[str]
) -> None:
    assert problems(settings | {name: good}) == []
    found = problems(settings | {name: bad})
    assert [p for p in found if p.startswith(name)] == found
    assert len(found) == 1


def test_one_subnet_is_refused(settings: Settings) -> None:
    assert len(problems(settings | {"fleet_subnet_ids": SUBNETS[:1]})) == 1
    assert len(problems(settings | {"fleet_subnet_ids": SUBNETS[:1] * 2})) == 1


@pytest.mark.parametrize(
    ("tags", "count"),
    [
        ({f"k{n}": "v" for n in range(40)}, 0),
        ({f"k{n}": "v" for n in range(41)}, 1),
        ({"k" * 128: "v" * 256, "a b.:/=+@-_": ""}, 0),
        ({"k" * 129: "v"}, 1),
        ({"k": "v" * 257}, 1),
        ({"aws:k": "v"}, 1),
        ({"AWS:k": "v"}, 1),
        ({"Team": "v", "team": "v"}, 1),
        ({"Team": "v", "team": "v", "TEAM": "v", "Teams": "v"}, 1),
        ({"": "v"}, 1),
        ({"Ghosthands:managed-by": "v"}, 1),
        ({1: "v"}, 1),
        ({"k": 1}, 1),
        ({"k": "v\n"}, 1),
    ],
)
def test_tags_are_what_every_service_accepts(settings: Settings, tags: dict[Any, Any], count: int) -> None:
    assert len(problems(settings | {"fleet_tags": tags, "fleet_metadata_tags": False})) == count


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        ("Team", True),
        ("team:a+b-c=d.e_f@g", True),
        ("a b", False),
        ("a/b", False),
        ("Größe", False),
        (".", False),
        ("..", False),
        ("...", True),
        ("_index", False),
        ("_index2", True),
    ],
)
def test_tags_at_the_metadata_service_have_keys_that_it_accepts(settings: Settings, key: str, accepted: bool) -> None:
    tagged = settings | {"fleet_tags": {key: "v"}}
    assert problems(tagged | {"fleet_metadata_tags": False}) == []
    found = problems(tagged | {"fleet_metadata_tags": True})
    assert (len(found), all("fleet_metadata_tags" in p for p in found)) == (0 if accepted else 1, True)


@pytest.mark.parametrize(
    ("kind", "size", "iops", "throughput", "count"),
    [
        ("gp2", 40, 0, 0, 0),
        ("gp2", 40, 3000, 0, 1),
        ("gp2", 40, 0, 125, 1),
        ("gp3", 40, 0, 0, 0),
        ("gp3", 40, 2999, 0, 1),
        ("gp3", 40, 20000, 0, 0),
        ("gp3", 40, 20001, 0, 1),
        ("gp3", 16384, 80000, 2000, 0),
        ("gp3", 16384, 80001, 0, 1),
        ("gp3", 40, 0, 124, 1),
        ("gp3", 40, 0, 750, 0),
        ("gp3", 40, 0, 751, 1),
        ("gp3", 40, 4000, 1000, 0),
        ("gp3", 40, 8000, 2001, 1),
        ("io1", 40, 0, 0, 1),
        ("io1", 40, 99, 0, 1),
        ("io1", 40, 2000, 0, 0),
        ("io1", 40, 2001, 0, 1),
        ("io1", 40, 2000, 125, 1),
        ("io1", 16384, 64000, 0, 0),
        ("io2", 40, 40000, 0, 0),
        ("io2", 40, 40001, 0, 1),
        ("io2", 16384, 256001, 0, 1),
    ],
)
def test_a_volume_has_the_performance_that_its_type_and_size_allow(
    settings: Settings, kind: str, size: int, iops: int, throughput: int, count: int
) -> None:
    found = problems(
        settings
        | {"fleet_volume_type": kind, "fleet_volume_size_gib": size}
        | {"fleet_volume_iops": iops, "fleet_volume_throughput": throughput}
    )
    assert len(found) == count, found
    assert all("write" in problem for problem in found)


@pytest.mark.parametrize(
    ("least", "desired", "most", "count"),
    [(1, 1, 1, 0), (0, 0, 0, 0), (1, 0, 2, 1), (1, 3, 2, 1), (2, 2, 2, 0), (3, 3, 2, 1), (1, 2, 2, 0)],
)
def test_sizes_are_in_order(settings: Settings, least: int, desired: int, most: int, count: int) -> None:
    assert (
        len(problems(settings | {"fleet_min_size": least, "fleet_desired_capacity": desired, "fleet_max_size": most}))
        == count
    )


@pytest.mark.parametrize(
    ("low", "high", "count"), [(100, 200, 0), (99, 199, 0), (99, 200, 1), (0, 100, 0), (0, 101, 1)]
)
def test_maintenance_percentages_may_differ_by_a_hundred(settings: Settings, low: int, high: int, count: int) -> None:
    s = settings | {"fleet_maintenance_min_healthy_percent": low, "fleet_maintenance_max_healthy_percent": high}
    assert len(problems(s)) == count


@pytest.mark.parametrize(
    ("heartbeat", "drain", "count"), [(30, 2990, 0), (30, 2991, 1), (1728, 172790, 0), (7200, 172791, 1)]
)
def test_a_drain_has_to_end_before_the_hooks_maximum(
    settings: Settings, heartbeat: int, drain: int, count: int
) -> None:
    s = settings | {
        "fleet_termination_hook_timeout": heartbeat,
        "fleet_drain_limit_seconds": drain,
        "fleet_stop_grace_seconds": 10,
    }
    assert len(problems(s)) == count


@pytest.mark.parametrize(
    ("broken", "fixed"),
    [
        ({"fleet_secret_name": "other/env"}, {"fleet_secret_scope": "other/*"}),
        ({"fleet_access_key": "a"}, {"fleet_secret_key": "s"}),
        ({"fleet_secret_key": "s"}, {"fleet_access_key": "a"}),
        (
            {"fleet_access_key": "a", "fleet_secret_key": "s", "fleet_profile": "p"},
            {"fleet_access_key": "", "fleet_secret_key": ""},
        ),
        ({"fleet_cpu_credits": "standard", "fleet_instance_type": "m7i.large"}, {"fleet_instance_type": "t4g.large"}),
        ({"fleet_key_public": "ssh-rsa AAAA", "fleet_key_name": ""}, {"fleet_key_name": "k"}),
        ({"fleet_valet_access_key": True}, {"fleet_valet_user_name": "valet"}),
        ({"fleet_adopt": "another"}, {"fleet_group_name": "another"}),
        ({"fleet_launch_hook": True, "fleet_launch_hook_name": "gh-worker-termination"}, {"fleet_launch_hook": False}),
        ({"fleet_worker_completes_hook": True, "fleet_worker_guard": "off"}, {"fleet_drain_policy": "http"}),
        ({"fleet_worker_completes_hook": True, "fleet_drain_policy": "http"}, {"fleet_worker_guard": "off"}),
        ({"fleet_worker_guard": "required", "fleet_drain_policy": "sigterm"}, {"fleet_worker_guard": "preferred"}),
    ],
)
def test_variables_that_depend_on_each_other_have_to_agree(
    settings: Settings, broken: Settings, fixed: Settings
) -> None:
    assert len(problems(settings | broken)) == 1
    assert problems(settings | broken | fixed) == []


def test_all_problems_are_reported_at_once(settings: Settings) -> None:
    found = problems(
        settings | {"fleet_name": "", "fleet_min_size": -1, "fleet_ssh_cidrs": ["x"], "fleet_access_key": "a"}
    )
    assert len(found) == 4


def test_two_fleets_in_one_region_share_what_has_the_same_name(settings: Settings) -> None:
    other = {name: f"other-{settings[name]}" for name in UNIQUE} | {"fleet_region": settings["fleet_region"]}
    assert shared_names(settings, other) == []
    for name in UNIQUE:
        assert shared_names(settings, other | {name: settings[name]}) == [f"{name} ({settings[name]})"]


def test_across_regions_only_iams_names_are_shared(settings: Settings) -> None:
    found = shared_names(settings, settings | {"fleet_region": "eu-west-1"})
    assert found == [f"{name} ({settings[name]})" for name, account_wide in UNIQUE.items() if account_wide]
    assert len(found) == 3
