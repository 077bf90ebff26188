"""What policies decide: documents and requests, each with the rule of the IAM User Guide that settles it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from localcloud.iam.conditions import Facts, UnknownRule, arn_matches, holds, matches
from localcloud.iam.policies import Malformed, Policies, Policy, Principal, Request, decide, decide_trust, parse

GROUP = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:0a1b:autoScalingGroupName/fleet"
ACTION = "autoscaling:SetInstanceHealth"
ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": ACTION, "Resource": "*"}
KNOWN = {
    "aws:username",
    "aws:principalarn",
    "aws:resourcetag/team",
    "aws:tagkeys",
    "aws:sourceip",
    "aws:currenttime",
    "aws:epochtime",
    "n",
}


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> Policy:
    return parse("p", json.dumps({"Version": version, "Statement": list(statements)}))


def request_with(action: str = ACTION, resource: str = GROUP, **context: tuple[str, ...] | str) -> Request:
    values = {
        key.replace("__", ":").replace("_of_", "/"): (v,) if isinstance(v, str) else v for key, v in context.items()
    }
    return Request(action, resource, values, lambda key: key in KNOWN)


def allowed(*statements: dict[str, Any], request: Request | None = None) -> bool:
    return decide(request or request_with(), Policies((policy(*statements),))).allowed


# reference_policies_elements_action, _notaction, _resource, _notresource, _effect; reference_policies_evaluation-logic
STATEMENTS: list[tuple[str, list[dict[str, Any]], bool]] = [
    ("no statement allows: implicit deny", [], False),
    ("an allow", [ALLOW], True),
    ("an explicit deny outweighs every allow", [ALLOW, {**ALLOW, "Effect": "Deny"}], False),
    ("a deny of something else changes nothing", [ALLOW, {"Effect": "Deny", "Action": "ec2:*", "Resource": "*"}], True),
    ("prefix and name of an action ignore case", [{**ALLOW, "Action": "AutoScaling:setINSTANCEhealth"}], True),
    ("wildcards in actions", [{**ALLOW, "Action": ["ec2:*", "autoscaling:Set*Health"]}], True),
    ("a question mark is exactly one character", [{**ALLOW, "Action": "autoscaling:SetInstanceHealth?"}], False),
    ("everything", [{**ALLOW, "Action": "*"}], True),
    ("an action's name is no prefix", [{**ALLOW, "Action": "autoscaling:SetInstance"}], False),
    ("NotAction leaves out what it names", [{"Effect": "Allow", "NotAction": "autoscaling:*", "Resource": "*"}], False),
    ("NotAction covers the rest", [{"Effect": "Allow", "NotAction": ["ec2:*", "iam:*"], "Resource": "*"}], True),
    ("a resource by name, whatever its id", [{**ALLOW, "Resource": GROUP.replace("0a1b", "*")}], True),
    ("resources are case-sensitive", [{**ALLOW, "Resource": GROUP.replace("fleet", "Fleet")}], False),
    ("another group", [{**ALLOW, "Resource": GROUP.replace("fleet", "other")}], False),
    ("a longer name", [{**ALLOW, "Resource": GROUP.removesuffix("t")}], False),
    ("another region", [{**ALLOW, "Resource": GROUP.replace("us-east-1", "eu-west-1")}], False),
    ("another account", [{**ALLOW, "Resource": GROUP.replace("123456789012", "999999999999")}], False),
    ("an incomplete ARN is completed by wildcards", [{**ALLOW, "Resource": "arn:aws:autoscaling"}], True),
    (
        "an asterisk does not pass the colon after the region",
        [{**ALLOW, "Resource": "arn:aws:autoscaling:*:autoScalingGroupName/fleet"}],
        False,
    ),
    ("NotResource leaves out what it names", [{"Effect": "Allow", "Action": "*", "NotResource": GROUP}], False),
    ("NotResource covers the rest", [{"Effect": "Deny", "Action": "*", "NotResource": GROUP}, ALLOW], True),
]


@pytest.mark.parametrize(
    ("statements", "expected"), [row[1:] for row in STATEMENTS], ids=[row[0] for row in STATEMENTS]
)
def test_statements_decide_as_the_user_guide_says(statements: list[dict[str, Any]], expected: bool) -> None:
    assert allowed(*statements) is expected


# reference_policies_elements_condition_operators, reference_policies_condition-single-vs-multi-valued-context-keys
CONDITIONS: list[tuple[str, str, str, Any, tuple[str, ...], bool]] = [
    ("equal", "StringEquals", "aws:username", "valet", ("valet",), True),
    ("one of several", "StringEquals", "aws:username", ["x", "valet"], ("valet",), True),
    ("case counts", "StringEquals", "aws:username", "Valet", ("valet",), False),
    ("keys ignore case", "StringEquals", "AWS:UserName", "valet", ("valet",), True),
    ("an asterisk is no wildcard for StringEquals", "StringEquals", "aws:username", "v*", ("valet",), False),
    ("an absent key fails", "StringEquals", "aws:username", "valet", (), False),
    ("an absent key passes IfExists", "StringEqualsIfExists", "aws:username", "valet", (), True),
    (
        "a present key does not pass IfExists by being there",
        "StringEqualsIfExists",
        "aws:username",
        "valet",
        ("x",),
        False,
    ),
    ("an absent key passes a negation", "StringNotEquals", "aws:username", "valet", (), True),
    ("a negation of several is true of none", "StringNotEquals", "aws:username", ["x", "valet"], ("valet",), False),
    ("case ignored", "StringEqualsIgnoreCase", "aws:username", "VALET", ("valet",), True),
    ("case ignored, negated", "StringNotEqualsIgnoreCase", "aws:username", "VALET", ("valet",), False),
    ("like", "StringLike", "aws:username", "va?e*", ("valet",), True),
    ("not like", "StringNotLike", "aws:username", "va*", ("valet",), False),
    ("a tag", "StringEquals", "aws:ResourceTag/Team", "workers", ("workers",), True),
    ("numbers", "NumericLessThanEquals", "n", "10", ("10.0",), True),
    ("numbers, too large", "NumericLessThan", "n", "10", ("10",), False),
    ("numbers differ", "NumericNotEquals", "n", 10, ("11",), True),
    ("a number of JSON's", "NumericGreaterThan", "n", 9, ("10",), True),
    ("a boolean of JSON's", "Bool", "n", True, ("true",), True),
    ("a boolean, other", "Bool", "n", "false", ("true",), False),
    ("null: the key is not there", "Null", "n", "true", (), True),
    ("null: it is", "Null", "n", "true", ("x",), False),
    ("not null", "Null", "n", "false", ("x",), True),
    ("dates", "DateGreaterThan", "aws:CurrentTime", "2026-01-01T00:00:00Z", ("2026-06-01T00:00:00+00:00",), True),
    ("dates by epoch", "DateLessThan", "aws:EpochTime", "1767225600", ("1767225601",), False),
    ("addresses", "IpAddress", "aws:SourceIp", "203.0.113.0/24", ("203.0.113.7",), True),
    ("other addresses", "NotIpAddress", "aws:SourceIp", ["203.0.113.0/24", "2001:db8::/32"], ("203.0.113.7",), False),
    (
        "ARNs part by part",
        "ArnLike",
        "aws:PrincipalArn",
        "arn:aws:iam::*:role/gh-*",
        ("arn:aws:iam::123456789012:role/gh-w/x",),
        True,
    ),
    (
        "ArnEquals is ArnLike",
        "ArnEquals",
        "aws:PrincipalArn",
        "arn:aws:iam::*:role/*",
        ("arn:aws:iam::1:role/x",),
        True,
    ),
    ("ArnNotLike", "ArnNotLike", "aws:PrincipalArn", "arn:aws:iam::*:user/*", ("arn:aws:iam::1:role/x",), True),
    ("every value expected", "ForAllValues:StringEquals", "aws:TagKeys", ["a", "b"], ("a", "b"), True),
    ("one value too many", "ForAllValues:StringEquals", "aws:TagKeys", ["a", "b"], ("a", "c"), False),
    ("ForAllValues is true of nothing", "ForAllValues:StringEquals", "aws:TagKeys", ["a"], (), True),
    ("any value", "ForAnyValue:StringLike", "aws:TagKeys", "b*", ("a", "bc"), True),
    ("ForAnyValue is false of nothing", "ForAnyValue:StringEquals", "aws:TagKeys", ["a"], (), False),
    ("any value that is none of these", "ForAnyValue:StringNotEquals", "aws:TagKeys", ["a"], ("a", "b"), True),
    ("all values are none of these", "ForAllValues:StringNotEquals", "aws:TagKeys", ["a"], ("a", "b"), False),
    ("operators ignore case", "forallvalues:stringequals", "aws:TagKeys", ["a"], ("a",), True),
]


@pytest.mark.parametrize(
    ("operator", "key", "expected", "values", "outcome"),
    [row[1:] for row in CONDITIONS],
    ids=[row[0] for row in CONDITIONS],
)
def test_conditions_match_as_the_user_guide_says(
    operator: str, key: str, expected: Any, values: tuple[str, ...], outcome: bool
) -> None:
    request = Request(ACTION, GROUP, {key.lower(): values} if values else {}, lambda name: name in KNOWN)
    assert allowed({**ALLOW, "Condition": {operator: {key: expected}}}, request=request) is outcome


def test_every_line_of_a_condition_must_hold() -> None:
    both = {"StringEquals": {"aws:username": "valet", "aws:ResourceTag/team": "x"}, "Null": {"n": "true"}}
    assert allowed(
        {**ALLOW, "Condition": both}, request=request_with(aws__username="valet", aws__resourcetag_of_team="x")
    )
    assert not allowed(
        {**ALLOW, "Condition": both}, request=request_with(aws__username="valet", aws__resourcetag_of_team="y")
    )
    assert not allowed(
        {**ALLOW, "Condition": both}, request=request_with(aws__username="valet", aws__resourcetag_of_team="x", n="1")
    )


@pytest.mark.parametrize(
    ("resource", "name", "expected"),
    [
        ("arn:aws:iam::1:user/${aws:username}", "valet", True),
        ("arn:aws:iam::1:user/${aws:username}", "other", False),
        ("arn:aws:iam::1:user/${AWS:UserName}", "valet", True),
        ("arn:aws:iam::1:user/${aws:username, 'valet'}", None, True),
        ("arn:aws:iam::1:user/${aws:username}", None, False),
        ("arn:aws:iam::1:user/v${*}", "valet", False),
    ],
)
def test_policy_variables_are_filled_in_from_the_request(resource: str, name: str | None, expected: bool) -> None:
    context = {"aws:username": (name,)} if name else {}
    request = Request(ACTION, "arn:aws:iam::1:user/valet", context, lambda key: key in KNOWN)
    assert allowed({**ALLOW, "Resource": resource}, request=request) is expected


def test_a_variable_without_a_value_spoils_its_own_pattern_only() -> None:
    assert allowed({**ALLOW, "Resource": ["arn:aws:iam::1:user/${aws:username}", "*"]})
    assert not allowed({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:iam::1:user/${aws:username}"})
    assert not allowed(ALLOW, {"Effect": "Deny", "Action": "*", "NotResource": ["arn:aws:iam::1:user/${aws:username}"]})


def test_what_a_variable_brings_in_is_no_wildcard() -> None:
    resource = "arn:aws:iam::1:user/${aws:username}"
    request = Request(ACTION, "arn:aws:iam::1:user/valet", {"aws:username": ("*",)})
    assert not allowed({**ALLOW, "Resource": resource}, request=request)


def test_a_variable_whose_value_looks_like_our_own_wildcards_has_no_rule() -> None:
    request = Request(ACTION, "arn:aws:iam::1:user/valet", {"aws:username": ("\ue000",)})
    decision = decide(request, Policies((policy({**ALLOW, "Resource": "arn:aws:iam::1:user/${aws:username}"}),)))
    assert (decision.allowed, len(decision.notes)) == (False, 1)


def test_the_older_version_knows_no_variables() -> None:
    statement = {**ALLOW, "Resource": "arn:aws:iam::1:user/${aws:username}"}
    request = Request(ACTION, "arn:aws:iam::1:user/valet", {"aws:username": ("valet",)})
    assert not decide(request, Policies((policy(statement, version="2008-10-17"),))).allowed


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"ec2:Vpc": "x"}},
        {"StringNotEquals": {"ec2:Vpc": "x"}},
        {"Null": {"ec2:Vpc": "true"}},
        {"StringSounds": {"aws:username": "x"}},
        {"ForSomeValues:StringEquals": {"aws:username": "x"}},
        {"NumericEquals": {"aws:username": "ten"}},
        {"StringEquals": {"aws:TagKeys": "a"}},
        {"ForAnyValue:StringEqualsIfExists": {"n": "a"}},
        {"StringEquals": {"aws:username": "${ec2:Vpc}"}},
    ],
    ids=str,
)
def test_what_is_not_modelled_never_allows_always_denies_and_is_logged(
    condition: dict[str, Any],
) -> None:
    request = request_with(aws__username="valet", aws__tagkeys=("a", "b"))
    for statements, word in (
        ([{**ALLOW, "Condition": condition}], False),
        ([ALLOW, {**ALLOW, "Effect": "Deny", "Condition": condition}], True),
    ):
        decision = decide(request, Policies((policy(*statements),)))
        assert (decision.allowed, decision.explicit, len(decision.notes)) == (False, word, 1)


def test_a_condition_without_a_rule_is_no_trouble_where_another_is_surely_false() -> None:
    deny = {**ALLOW, "Effect": "Deny", "Condition": {"StringEquals": {"ec2:Vpc": "x", "aws:username": "somebody else"}}}
    assert allowed(ALLOW, deny, request=request_with(aws__username="valet"))


# access_policies_boundaries, access_policies#policies_session, reference_policies_evaluation-logic
YES, NO, NEVER = policy(ALLOW), policy(), policy({**ALLOW, "Effect": "Deny"})


@pytest.mark.parametrize(
    ("identity", "boundary", "session", "expected"),
    [
        (YES, None, None, (True, False, "identity-based policy")),
        (YES, YES, YES, (True, False, "identity-based policy")),
        (YES, NO, None, (False, False, "permissions boundary")),
        (NO, YES, YES, (False, False, "identity-based policy")),
        (YES, YES, NO, (False, False, "session policy")),
        (YES, NEVER, None, (False, True, "permissions boundary")),
        (YES, None, NEVER, (False, True, "session policy")),
        (NEVER, YES, YES, (False, True, "identity-based policy")),
        (NO, None, NEVER, (False, True, "session policy")),
    ],
)
def test_boundaries_and_session_policies_limit_and_never_grant(
    identity: Policy, boundary: Policy | None, session: Policy | None, expected: tuple[bool, bool, str]
) -> None:
    decision = decide(
        request_with(), Policies((identity,), (boundary,) if boundary else None, (session,) if session else None)
    )
    assert (decision.allowed, decision.explicit, decision.kind) == expected


def test_a_boundary_whose_policy_was_deleted_allows_nothing() -> None:
    assert not decide(request_with(), Policies((YES,), ())).allowed


ROLE = "arn:aws:iam::123456789012:role/worker"
USER = Principal("arn:aws:iam::123456789012:user/valet", "123456789012")
SESSION = Principal(
    "arn:aws:iam::123456789012:role/ci", "123456789012", "arn:aws:sts::123456789012:assumed-role/ci/build"
)
EC2 = Principal("ec2.amazonaws.com", "123456789012", service=True)
ASSUME = parse(
    "own",
    json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": ROLE}]}
    ),
)
REFUSE = parse(
    "own", json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "sts:*", "Resource": "*"}]})
)
NOTHING = parse("own", json.dumps({"Version": "2012-10-17", "Statement": []}))


# reference_policies_elements_principal; reference_policies_evaluation-logic_policy-eval-basics-single-account
@pytest.mark.parametrize(
    ("who", "principal", "own", "expected"),
    [
        (EC2, {"Service": "ec2.amazonaws.com"}, NOTHING, True),
        (EC2, {"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]}, NOTHING, True),
        (EC2, {"Service": "lambda.amazonaws.com"}, NOTHING, False),
        (EC2, {"AWS": "*"}, NOTHING, False),
        (USER, {"Service": "ec2.amazonaws.com"}, ASSUME, False),
        (USER, {"AWS": USER.arn}, NOTHING, True),
        (USER, {"AWS": USER.arn}, REFUSE, False),
        (USER, {"AWS": "123456789012"}, ASSUME, True),
        (USER, {"AWS": "arn:aws:iam::123456789012:root"}, ASSUME, True),
        (USER, {"AWS": "arn:aws:iam::123456789012:root"}, NOTHING, False),
        (USER, {"AWS": "999999999999"}, ASSUME, False),
        (USER, {"AWS": "arn:aws:iam::123456789012:user/*"}, ASSUME, False),
        (USER, "*", NOTHING, True),
        (SESSION, {"AWS": SESSION.arn}, NOTHING, True),
        (SESSION, {"AWS": str(SESSION.session)}, NOTHING, True),
        (SESSION, {"AWS": "arn:aws:sts::123456789012:assumed-role/ci/other"}, ASSUME, False),
    ],
)
def test_a_role_is_assumed_by_whom_its_trust_policy_names(
    who: Principal, principal: Any, own: Policy, expected: bool
) -> None:
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
    }
    trust = parse("trust", json.dumps(document), trust=True)
    assert decide_trust(Request("sts:AssumeRole", ROLE, {}), trust, who, Policies((own,))).allowed is expected


def test_what_a_trust_policy_grants_a_role_is_limited_by_boundary_and_session() -> None:
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": SESSION.arn}, "Action": "sts:AssumeRole"}],
    }
    trust, request = parse("trust", json.dumps(document), trust=True), Request("sts:AssumeRole", ROLE, {})
    assert not decide_trust(request, trust, SESSION, Policies((NOTHING,), (NOTHING,))).allowed
    assert not decide_trust(request, trust, SESSION, Policies((ASSUME,), None, (NOTHING,))).allowed
    assert decide_trust(request, trust, SESSION, Policies((NOTHING,), (ASSUME,), (ASSUME,))).allowed


def test_a_trust_policys_conditions_and_denials_count() -> None:
    grant = {
        "Effect": "Allow",
        "Principal": {"AWS": USER.arn},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "42"}},
    }
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:username": "valet"}},
    }
    for statements, context, expected in (
        ([grant], {"sts:externalid": ("42",)}, True),
        ([grant], {"sts:externalid": ("43",)}, False),
        ([grant, deny], {"sts:externalid": ("42",), "aws:username": ("valet",)}, False),
        ([{"Effect": "Allow", "NotPrincipal": {"AWS": "1"}, "Action": "sts:AssumeRole"}], {}, False),
    ):
        trust = parse("trust", json.dumps({"Version": "2012-10-17", "Statement": statements}), trust=True)
        assert (
            decide_trust(Request("sts:AssumeRole", ROLE, context), trust, USER, Policies((NOTHING,))).allowed
            is expected
        )


@pytest.mark.parametrize(
    "document",
    [
        "no JSON",
        "[]",
        '{"Version": "2012-10-17"}',
        '{"Version": "2020-01-01", "Statement": []}',
        '{"Version": "2012-10-17", "Statement": [], "Statements": []}',
        json.dumps({"Statement": {**ALLOW, "Effect": "allow"}}),
        json.dumps({"Statement": {**ALLOW, "Actions": "x"}}),
        json.dumps({"Statement": {**ALLOW, "NotAction": "x"}}),
        json.dumps({"Statement": {"Effect": "Allow", "Resource": "*"}}),
        json.dumps({"Statement": {"Effect": "Allow", "Action": "*"}}),
        json.dumps({"Statement": {**ALLOW, "Principal": "*"}}),
        json.dumps({"Statement": {**ALLOW, "Action": {"x": "y"}}}),
        json.dumps({"Statement": {**ALLOW, "Condition": {"Bool": "x"}}}),
        json.dumps({"Statement": {**ALLOW, "Resource": "arn:aws:s3:::\ue000"}}),
    ],
)
def test_what_is_no_policy_is_refused(document: str) -> None:
    with pytest.raises(Malformed, match=r"^p "):
        parse("p", document)


def test_a_decision_names_the_statements_that_matched() -> None:
    decision = decide(
        request_with(), Policies((policy({**ALLOW, "Sid": "One"}, {**ALLOW, "Sid": "Two", "Action": "ec2:*"}),))
    )
    assert decision.matched == (("p", "One"),)


def reference(pattern: str, text: str) -> bool:
    """IAM's wildcards, by definition: column by column of the table of prefixes."""
    row = [True] + [False] * len(text)
    for c in pattern:
        below = [row[0] and c == "*"]
        for i, t in enumerate(text):
            below.append(row[i + 1] or below[i] if c == "*" else row[i] and c in ("?", t))
        row = below
    return row[-1]


@given(st.text("ab*?:[].\n\\", max_size=8), st.text("ab:[].\n\\*", max_size=8))
def test_wildcards_are_asterisk_and_question_mark_and_nothing_else(pattern: str, text: str) -> None:
    facts = Facts({}, lambda key: True)
    assert matches(facts.filled(pattern), text) == reference(pattern, text)
    assert holds("StringLike", "k", [pattern], Facts({"k": (text,)}, lambda key: True)) == reference(pattern, text)


@given(
    st.lists(st.text("ab*?/", max_size=4), min_size=6, max_size=6),
    st.lists(st.text("ab/", max_size=4), min_size=6, max_size=6),
)
def test_arns_match_part_by_part(pattern: list[str], arn: list[str]) -> None:
    expected = all(reference(*pair) for pair in zip(pattern, arn, strict=True))
    assert arn_matches(Facts({}, lambda key: True).filled(":".join(pattern)), ":".join(arn)) == expected


@given(st.text(max_size=12))
def test_any_text_matches_itself_and_an_asterisk(text: str) -> None:
    quoted = re.sub(r"([*?$])", r"${\1}", text)
    facts = Facts({}, lambda key: True)
    assert matches(facts.filled(quoted), text)
    assert matches(facts.filled("*"), text)


def test_an_operator_without_a_rule_is_named() -> None:
    with pytest.raises(UnknownRule, match="StringSounds"):
        holds("StringSounds", "k", ["v"], Facts({"k": ("v",)}, lambda key: True))
