# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks of verify.yml say of single values: what they find, what they leave alone, and what to do about it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import verify
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, CommandLine, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Fleet,
    Group,
    GroupInstance,
    Image,
    Instance,
    LaunchTemplate,
    LogGroup,
    Profile,
    ResourcePolicy,
    RolePolicies,
    Rule,
    SecurityGroup,
    Unread,
    User,
)

ACCOUNT, STRANGER = "123456789012", "999999999999"
OPTIONS = {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 2}
EC2 = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
TEMPLATE = LaunchTemplate(
    version=2,
    latest_version=2,
    image="ami-1",
    type="t3.medium",
    key="",
    profile="gh-worker-instance-profile",
    metadata=OPTIONS,
    unencrypted=(),
    security_groups=("sg-1",),
    agent_conf={},
    agent_conf_problem="",
)


def finding(settings: dict[str, Any], id: str, **parts: Any) -> Finding:
    """The finding of one check about a fleet of which these parts are known."""
    unread = dict.fromkeys((field.name for field in fields(Fleet)), Unread("not read"))
    fleet = Fleet(**{**unread, "account": ACCOUNT, **parts})
    view = View(settings, fleet, 1_800_000_000.0, CommandLine("playbooks", "site.yml", "staging", "stg"))
    assert {check.look.__module__ for check in CHECKS} >= {module.__name__ for module in verify.MODULES}
    return next(check for check in CHECKS if check.id == id).finding(view)


def group(version: str = "2", state: str = "InService", **other: Any) -> Group:
    instances = (GroupInstance("i-1", state, "Healthy", "us-east-1a", "t3.medium", version, protected=False),)
    return Group("gh-worker-asg", "arn:g", 0, 4, 0, instances=instances, **other)


def instance(**other: Any) -> Instance:
    usual: dict[str, Any] = {
        "profile": TEMPLATE.profile,
        "security_groups": frozenset({"sg-1"}),
        "metadata": {**OPTIONS, "State": "applied"},
    }
    return Instance("i-1", "running", "ami-1", "t3.medium", 0.0, **{**usual, **other})


def image(**other: Any) -> Image:
    return Image("ami-1", "gh", "x86_64", "available", "2026-01-01T00:00:00Z", **{"agent_schema": "4", **other})


# --- running instances ------------------------------------------------------------------------------------------------

CHANGED: dict[str, dict[str, Any]] = {
    "instances-profile": {"profile": "somebody"},
    "instances-security-groups": {"security_groups": frozenset({"sg-1", "sg-2"})},
    "instances-metadata": {"metadata": {**OPTIONS, "HttpTokens": "optional"}},
}


@pytest.mark.parametrize("id", CHANGED)
def test_an_instance_that_somebody_changed_is_found(id: str, settings: dict[str, Any]) -> None:
    parts = {"template": TEMPLATE, "group": group()}
    assert finding(settings, id, instances={"i-1": instance()}, **parts).ok
    bad = finding(settings, id, instances={"i-1": instance(**CHANGED[id])}, **parts)
    assert (bad.ok, bad.severity) == (False, "error")
    assert "i-1" in bad.detail
    assert all("i-1" in command for command in bad.remedy.commands)


@pytest.mark.parametrize("id", CHANGED)
@pytest.mark.parametrize("of", [group(version="1"), group(state="Terminating:Wait")], ids=["old", "terminating"])
def test_an_instance_that_is_replaced_anyway_is_left_alone(id: str, of: Group, settings: dict[str, Any]) -> None:
    parts = {"template": TEMPLATE, "group": of, "instances": {"i-1": instance(**CHANGED[id])}}
    assert finding(settings, id, **parts).ok


def test_an_instance_whose_metadata_shows_no_tags_gets_no_wishes_where_the_template_says_that_it_does(
    settings: dict[str, Any],
) -> None:
    shows = {**OPTIONS, "InstanceMetadataTags": "enabled"}
    for template, found, ok in ((shows, OPTIONS, False), (shows, shows, True), (OPTIONS, shows, True)):
        instances = {"i-1": instance(metadata=found)}
        made = replace(TEMPLATE, metadata=template)
        result = finding(settings, "instances-metadata", template=made, group=group(), instances=instances)
        assert result.ok is ok
        if not ok:
            assert "Wishes of operators do not reach" in result.detail


def test_an_instance_without_metadata_service_is_said_to_be_helpless(settings: dict[str, Any]) -> None:
    found = instance(metadata={**OPTIONS, "HttpEndpoint": "disabled"})
    bad = finding(settings, "instances-metadata", template=TEMPLATE, group=group(), instances={"i-1": found})
    assert "(endpoint disabled)" in bad.detail
    assert "know nothing of scale-in" in bad.detail


def test_twenty_instances_are_attached_at_once(settings: dict[str, Any]) -> None:
    outside = tuple(Instance(f"i-{n:02}", "running", "ami-1", "t3.medium", 0.0) for n in range(21))
    bad = finding(settings, "instances-outside", group=group(), outsiders=outside)
    assert [command.count(" i-") for command in bad.remedy.commands] == [20, 1]


# --- the image --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "variables", "ok"),
    [
        (ACCOUNT, {}, True),
        (STRANGER, {}, False),
        (STRANGER, {"fleet_image": "ami-1"}, True),
        (STRANGER, {"fleet_image": "ami-2"}, False),
        (STRANGER, {"fleet_trusted_account_ids": [STRANGER]}, True),
    ],
)
def test_another_accounts_image_has_to_be_named_or_its_account_trusted(
    owner: str, variables: dict[str, Any], ok: bool, settings: dict[str, Any]
) -> None:
    parts = {"template": TEMPLATE, "images": {"ami-1": image(owner=owner)}}
    assert finding({**settings, **variables}, "image-owner", **parts).ok is ok


@pytest.mark.parametrize(("owner", "ok"), [(ACCOUNT, False), (STRANGER, True)])
def test_only_an_own_image_can_be_made_private(owner: str, ok: bool, settings: dict[str, Any]) -> None:
    parts = {"template": TEMPLATE, "images": {"ami-1": image(owner=owner, public=True)}}
    assert finding(settings, "image-public", **parts).ok is ok


def test_the_tags_of_another_accounts_image_cannot_be_seen(settings: dict[str, Any]) -> None:
    parts = {"template": TEMPLATE, "images": {"ami-1": image(owner=STRANGER, agent_schema=None)}}
    assert finding(settings, "image-origin", **parts).ok
    parts = {"template": TEMPLATE, "images": {"ami-1": image(owner=ACCOUNT, agent_schema=None)}}
    assert not finding(settings, "image-origin", **parts).ok


# --- the group --------------------------------------------------------------------------------------------------------


def test_each_metric_that_is_not_collected_is_named(settings: dict[str, Any]) -> None:
    every = finding(settings, "group-metrics", group=group()).evidence["missing"]
    assert finding(settings, "group-metrics", group=group(metrics=frozenset(every))).ok
    bad = finding(settings, "group-metrics", group=group(metrics=frozenset(every) - {"GroupMinSize"}))
    assert bad.detail == "The group's metrics are not collected: GroupMinSize."


# --- policies ---------------------------------------------------------------------------------------------------------


def profile(*statements: dict[str, Any], role: str = "gh-worker-role") -> Profile:
    trust = {"Version": "2012-10-17", "Statement": statements}
    return Profile("gh-worker-instance-profile", role, f"arn:aws:iam::{ACCOUNT}:role/{role}", trust)


def test_others_than_ec2_are_named_and_a_role_that_ec2_may_not_assume_is_another_checks(
    settings: dict[str, Any],
) -> None:
    other = {**EC2, "Principal": {"AWS": f"arn:aws:iam::{STRANGER}:root"}}
    assert finding(settings, "role-trust-others", profile=profile(EC2)).ok
    assert STRANGER in finding(settings, "role-trust-others", profile=profile(EC2, other)).detail
    assert finding(settings, "role-trust-others", profile=profile(other)).ok
    assert not finding(settings, "role-trust", profile=profile(other)).ok
    denied = profile(EC2, {**EC2, "Effect": "Deny"})
    assert not finding(settings, "role-trust", profile=denied).ok


def test_each_further_policy_of_the_role_has_its_command(settings: dict[str, Any]) -> None:
    arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    found = RolePolicies(("debug", "gh-worker-permissions"), (arn,))
    bad = finding(settings, "role-policies", profile=profile(EC2), role_policies=found)
    assert [command.split("--")[-2].strip() for command in bad.remedy.commands] == [
        "policy-name debug",
        f"policy-arn {arn}",
    ]
    alone = RolePolicies(("gh-worker-permissions",), ())
    assert finding(settings, "role-policies", profile=profile(EC2), role_policies=alone).ok
    assert finding(settings, "role-policies", profile=profile(EC2, role="x"), role_policies=found).ok


def allow(principal: Any, *actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": list(actions), **more}


@pytest.mark.parametrize(
    ("statement", "severity"),
    [
        (allow({"AWS": ACCOUNT}, "ecr:*"), ""),
        (allow({"Service": "codebuild.amazonaws.com"}, "ecr:BatchGetImage"), ""),
        (allow("*", "ecr:BatchGetImage", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}), ""),
        (allow({"AWS": STRANGER}, "ecr:BatchGetImage"), "warning"),
        (allow({"AWS": STRANGER}, "ecr:PutImage"), "error"),
        (allow("*", "ecr:BatchGetImage"), "error"),
        (allow({"AWS": "*"}, "ecr:BatchGetImage", Condition={"Bool": {"aws:SecureTransport": "true"}}), "error"),
    ],
)
def test_strangers_who_pull_are_a_warning_and_those_who_push_or_everybody_an_error(
    statement: dict[str, Any], severity: str, settings: dict[str, Any]
) -> None:
    policy = ResourcePolicy("ghosthands", {"Version": "2012-10-17", "Statement": [statement]})
    found = finding(settings, "repository-policy", repository_policy=policy)
    assert ("" if found.ok else found.severity) == severity
    trusting = {**settings, "fleet_trusted_account_ids": [STRANGER]}
    trusted = finding(trusting, "repository-policy", repository_policy=policy)
    assert trusted.ok is ("*" not in str(statement["Principal"]) or found.ok)


def test_the_remedy_keeps_the_statements_that_are_right(settings: dict[str, Any]) -> None:
    own, stranger = allow({"AWS": ACCOUNT}, "s:Get"), allow({"AWS": STRANGER}, "s:Get")
    mixed = ResourcePolicy("it's", {"Version": "2012-10-17", "Statement": [own, stranger]})
    (command,) = finding(settings, "secret-policy", secret_policy=mixed).remedy.commands
    assert "put-resource-policy" in command
    assert ACCOUNT in command
    assert STRANGER not in command
    alone = ResourcePolicy("it's", {"Version": "2012-10-17", "Statement": stranger})
    (command,) = finding(settings, "secret-policy", secret_policy=alone).remedy.commands
    assert "delete-resource-policy" in command


def test_a_secret_or_repository_without_a_policy_is_not_looked_at(settings: dict[str, Any]) -> None:
    for id, part in (("secret-policy", "secret_policy"), ("repository-policy", "repository_policy")):
        found = finding(settings, id, **{part: None})
        assert (found.ok, found.evidence) == (True, {"looked": False})


# --- the security group -----------------------------------------------------------------------------------------------

WORLD = Rule("-1", 0, 65535, ("0.0.0.0/0",))


def test_variables_that_open_a_port_to_the_world_are_named_in_the_remedy(settings: dict[str, Any]) -> None:
    groups = {"sg-1": SecurityGroup("sg-1", "gh-worker-sg", (Rule("tcp", 3100, 3100, ("0.0.0.0/0",)),), (WORLD,))}
    assert finding(settings, "security-group-open", security_groups=groups).remedy.text == "Run"
    wide = {**settings, "fleet_api_cidrs": ["0.0.0.0/1", "128.0.0.0/1"]}
    assert "fleet_api_cidrs" in finding(wide, "security-group-open", security_groups=groups).remedy.text


def test_what_one_group_does_not_let_out_another_may(settings: dict[str, Any]) -> None:
    closed = SecurityGroup("sg-1", "one", (), ())
    assert not finding(settings, "security-group-egress", security_groups={"sg-1": closed}).ok
    both = {"sg-1": closed, "sg-2": SecurityGroup("sg-2", "two", (), (WORLD,))}
    assert finding(settings, "security-group-egress", security_groups=both).ok


# --- what is kept, and VALET ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "words"), [(30, ""), (7, "for 7 days"), (0, "for ever")])
def test_the_log_groups_retention_is_the_variables(days: int, words: str, settings: dict[str, Any]) -> None:
    found = finding(settings, "log-group-retention", log_group=LogGroup("/wekruit/gh-worker", 1.0, days))
    assert found.ok is (not words)
    assert words in found.detail


def test_valets_user_has_one_policy_and_one_key(settings: dict[str, Any]) -> None:
    named = {**settings, "fleet_valet_user_name": "valet"}
    arn = f"arn:aws:iam::{ACCOUNT}:policy/gh-worker-valet-autoscale"
    ids = ("valet-user", "valet-rights", "valet-keys")

    def failing(user: User | None, variables: dict[str, Any] = named) -> list[str]:
        return [id for id in ids if not finding(variables, id, valet_user=user).ok]

    assert failing(User("valet", (), (arn,), (), ("AKIA1",))) == []
    assert failing(None) == ["valet-user"]
    assert failing(None, settings) == []
    assert failing(User("valet", (), (), (), ())) == ["valet-user"]
    assert failing(User("valet", ("more",), (arn,), (), ())) == ["valet-rights"]
    assert failing(User("valet", (), (arn,), ("admins",), ())) == ["valet-rights"]
    assert failing(User("valet", (), (arn, "arn:aws:iam::aws:policy/X"), (), ())) == ["valet-rights"]
    assert failing(User("valet", (), (arn,), (), ("AKIA1", "AKIA2"))) == ["valet-keys"]
