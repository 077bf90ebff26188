"""What IAM policies decide about a request. Pure; standard library only.

The rules are those of "Policy evaluation logic" in docs.aws.amazon.com/IAM/latest/UserGuide, whose pages are named.
What has no rule here is never an allow: an Allow that needs it does not apply, a Deny does, and the decision says
why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from localcloud.iam.conditions import Context, Facts, NoValue, UnknownRule, arn_matches, holds, matches

#: The kinds of policy that a decision names, in AWS's words (troubleshoot_access-denied).
Kind = Literal["identity-based policy", "permissions boundary", "session policy", "resource-based policy"]
_VERSIONS = ("2012-10-17", "2008-10-17")
_ELEMENTS = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}


class Malformed(ValueError):
    """The text is not a valid policy document."""


@dataclass(frozen=True)
class Statement:
    """One statement (reference_policies_elements); True in its tuples: the ``Not`` form."""

    sid: str
    allow: bool
    actions: tuple[bool, tuple[str, ...]]
    resources: tuple[bool, tuple[str, ...]] | None
    principals: tuple[bool, dict[str, tuple[str, ...]]] | None
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]

    def covers(self, request: Request, facts: Facts) -> bool:
        """Whether the statement applies to a request.

        Raises:
            UnknownRule: action and resource match, and a condition has no rule.
        """
        other, names = self.actions
        if (
            any(matches(_lowered(name), request.action.lower()) for name in names) == other
        ):  # actions ignore case and know no variables
            return False
        if self.resources is not None:
            other, patterns = self.resources
            if any(_names(pattern, request.resource, facts, other) for pattern in patterns) == other:
                return False
        return self._conditions_hold(facts)

    def _conditions_hold(self, facts: Facts) -> bool:
        """Whether all are true; one that is false decides, even if another one has no rule."""
        unknown: UnknownRule | None = None
        for operator, key, values in self.conditions:
            try:
                if not holds(operator, key, list(values), facts):
                    return False
            except UnknownRule as problem:
                unknown = problem
        if unknown:
            raise unknown
        return True


def _names(pattern: str, resource: str, facts: Facts, other: bool) -> bool:
    """Whether a pattern matches the resource; not if a variable has no value (reference_policies_variables).

    Raises:
        UnknownRule: a variable of NotResource has no value, for which AWS's pages have no rule.
    """
    try:
        return arn_matches(facts.filled(pattern), resource)
    except NoValue as missing:
        if other:
            raise UnknownRule(f"NotResource has the variable {missing}, which has no value") from missing
        return False


def _lowered(action: str) -> str:
    return Facts({}, lambda key: True, variables=False).filled(action.lower())


@dataclass(frozen=True)
class Policy:
    """A policy document with a name for decisions to refer to."""

    name: str
    version: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Request:
    """One action on one resource.

    Attributes:
        action: IAM's name, such as ``autoscaling:SetInstanceHealth``.
        resource: an ARN, or ``*`` for actions that have no resource.
        context, known: see ``conditions.Facts``.
    """

    action: str
    resource: str
    context: Context
    known: Callable[[str], bool] = lambda key: False


@dataclass(frozen=True)
class Policies:
    """The policies of a caller, by kind; None: there is none of that kind, which limits nothing."""

    identity: tuple[Policy, ...]
    boundary: tuple[Policy, ...] | None = None
    session: tuple[Policy, ...] | None = None


@dataclass(frozen=True)
class Decision:
    """The result of an evaluation.

    Attributes:
        allowed: whether the request is allowed.
        explicit: refused by a Deny, rather than for lack of an Allow.
        kind: which kind of policy refused, or allowed at the end.
        matched: name of policy and Sid of the statements that decided.
        boundary: whether the permissions boundary allows it; None without one.
        notes: what had no rule and was therefore not allowed.
    """

    allowed: bool
    explicit: bool = False
    kind: Kind = "identity-based policy"
    matched: tuple[tuple[str, str], ...] = ()
    boundary: bool | None = None
    notes: tuple[str, ...] = ()

    def reason(self, action: str) -> str:
        """The end of AWS's message about a refusal (troubleshoot_access-denied)."""
        article = "an" if self.kind[0] == "i" else "a"
        return (
            f"with an explicit deny in {article} {self.kind}"
            if self.explicit
            else f"because no {self.kind} allows the {action} action"
        )


@dataclass(frozen=True)
class Principal:
    """A caller as trust policies may name it (reference_policies_elements_principal).

    Attributes:
        arn: of the user, of the role, or a service's name.
        session: ARN of a role's session.
        service: it is an AWS service.
    """

    arn: str
    account: str
    session: str | None = None
    service: bool = False

    def named_by(self, kind: str, name: str) -> Grant | None:
        """What a Principal element grants to, if it names this caller."""
        if self.service or kind == "Service":
            return "itself" if self.service and kind == "Service" and name == self.arn else None
        if kind != "AWS":
            return None
        if name in ("*", self.session) or (name == self.arn and not self.session):
            return "itself"
        if name == self.arn:
            return "role"
        root = f"arn:{self.arn.split(':')[1]}:iam::{self.account}:root"
        return "account" if name in (self.account, root) else None


#: What a resource-based policy grants to: the caller itself (a user, a session, a service), its role, or its account,
#: whose identity policies then decide.
Grant = Literal["itself", "role", "account"]


def parse(name: str, text: str, *, trust: bool = False, principals: bool = False) -> Policy:
    """Parse a policy document (reference_policies_grammar).

    Args:
        trust: it is a role's trust policy, which has principals and no resources.
        principals: it is a resource's own policy, which has both.

    Raises:
        Malformed: it is not valid.
    """
    try:
        document = json.loads(text)
    except ValueError as problem:
        raise Malformed(f"{name} is not JSON: {problem}") from problem
    if (
        not isinstance(document, dict)
        or document.keys() - {"Version", "Id", "Statement"}
        or "Statement" not in document
    ):
        raise Malformed(f"{name} is not a policy document")
    version = document.get("Version", "2008-10-17")
    if version not in _VERSIONS:
        raise Malformed(f"{name} has the unknown Version {version}")
    return Policy(
        name,
        version,
        tuple(_statement(name, one, trust, trust or principals) for one in _listed(document["Statement"])),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(name: str, value: Any) -> tuple[str, ...]:
    """Strings of a policy, Latin 1 only (API_PutRolePolicy, PolicyDocument); booleans and numbers as AWS reads them."""
    if not all(
        isinstance(one, (int, float)) or (isinstance(one, str) and max(one, default="") <= "\xff")
        for one in _listed(value)
    ):
        raise Malformed(f"{name} has {value!r} instead of a string")
    return tuple(one if isinstance(one, str) else json.dumps(one) for one in _listed(value))


def _either(name: str, given: dict[str, Any], element: str) -> tuple[bool, tuple[str, ...]] | None:
    if element in given and f"Not{element}" in given:
        raise Malformed(f"{name} has both {element} and Not{element}")
    other = f"Not{element}" in given
    value = given.get(f"Not{element}" if other else element)
    return None if value is None else (other, _texts(name, value))


def _statement(name: str, given: Any, trust: bool, named: bool) -> Statement:
    if not isinstance(given, dict) or given.keys() - _ELEMENTS or given.get("Effect") not in ("Allow", "Deny"):
        raise Malformed(f"{name} has a statement that is not valid: {given!r}")
    actions, resources = _either(name, given, "Action"), _either(name, given, "Resource")
    principals = _principals(name, given)
    if actions is None or (resources is None) != trust or (principals is not None) != named:
        required, excluded = (
            ("Principal", "Resource") if trust else ("Resource", "no Principal" if named else "Principal")
        )
        raise Malformed(f"{name} has a statement that lacks Action, or {required}, or has {excluded}")
    return Statement(
        str(given.get("Sid", "")), given["Effect"] == "Allow", actions, resources, principals, _conditions(name, given)
    )


def _principals(name: str, given: dict[str, Any]) -> tuple[bool, dict[str, tuple[str, ...]]] | None:
    other = "NotPrincipal" in given
    value = given.get("NotPrincipal" if other else "Principal")
    if value is None:
        return None
    if value == "*":
        return other, {"AWS": ("*",)}
    if not isinstance(value, dict):
        raise Malformed(f"{name} has a Principal that is not valid: {value!r}")
    return other, {kind: _texts(name, names) for kind, names in value.items()}


def _conditions(name: str, given: dict[str, Any]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    blocks = given.get("Condition", {})
    if not isinstance(blocks, dict) or not all(isinstance(keys, dict) for keys in blocks.values()):
        raise Malformed(f"{name} has a Condition that is not valid: {blocks!r}")
    return tuple(
        (operator, key, _texts(name, values)) for operator, keys in blocks.items() for key, values in keys.items()
    )


@dataclass(frozen=True)
class _Verdict:
    """The statements of one kind of policy that apply."""

    allows: tuple[tuple[str, str], ...] = ()
    denies: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def _verdict(policies: Iterable[Policy], request: Request) -> _Verdict:
    allows, denies, notes = list[tuple[str, str]](), list[tuple[str, str]](), list[str]()
    for policy in policies:
        facts = Facts(request.context, request.known, policy.version == _VERSIONS[0])
        for statement in policy.statements:
            try:
                covered = statement.covers(request, facts)
            except UnknownRule as unknown:
                notes.append(f"{policy.name} {statement.sid}: {unknown}")
                covered = not statement.allow
            if covered:
                (allows if statement.allow else denies).append((policy.name, statement.sid))
    return _Verdict(tuple(allows), tuple(denies), tuple(notes))


def decide(request: Request, policies: Policies) -> Decision:
    """Whether a caller of the resource's own account may do it.

    A Deny anywhere refuses. Otherwise identity policies must allow it, and so must the boundary and the session's
    policies if there are any (reference_policies_evaluation-logic_policy-eval-denyallow, access_policies_boundaries,
    access_policies#policies_session).
    """
    kinds: list[tuple[Kind, tuple[Policy, ...] | None]] = [
        ("identity-based policy", policies.identity),
        ("permissions boundary", policies.boundary),
        ("session policy", policies.session),
    ]
    verdicts = [(kind, _verdict(those, request)) for kind, those in kinds if those is not None]
    notes = tuple(note for _, verdict in verdicts for note in verdict.notes)
    boundary = next((bool(v.allows) and not v.denies for kind, v in verdicts if kind == "permissions boundary"), None)
    for kind, verdict in verdicts:
        if verdict.denies:
            return Decision(False, True, kind, verdict.denies, boundary, notes)
    for kind, verdict in verdicts:
        if not verdict.allows:
            return Decision(False, False, kind, (), boundary, notes)
    return Decision(
        True,
        matched=tuple(match for _, verdict in verdicts for match in verdict.allows),
        boundary=boundary,
        notes=notes,
    )


def decide_trust(request: Request, trust: Policy, caller: Principal, policies: Policies) -> Decision:
    """Whether a caller may assume a role of its own account, by the trust policy and the caller's own policies.

    What is granted to a user, a session or a service itself needs no identity policy; what is granted to a role is
    still limited by boundary and session; what is granted to the account, identity policies must allow as well. A
    Deny anywhere refuses (reference_policies_evaluation-logic_policy-eval-basics-single-account, "resource-based
    policies").
    """
    grants, verdict = _trusting(request, trust, caller)
    own = Decision(True) if caller.service else decide(request, policies)
    if verdict.denies:
        return Decision(False, True, "resource-based policy", verdict.denies, notes=verdict.notes)
    if own.explicit:
        return own
    if not grants:
        return Decision(False, False, "resource-based policy", notes=verdict.notes)
    if "itself" in grants:
        return Decision(True, matched=verdict.allows, notes=verdict.notes)
    if "role" in grants and (own.allowed or own.kind == "identity-based policy"):
        return decide(request, Policies((ALLOW_ALL,), policies.boundary, policies.session))
    return own


def _trusting(request: Request, trust: Policy, caller: Principal) -> tuple[set[Grant], _Verdict]:
    """What the trust policy grants to the caller, and the verdict of the statements that name it."""
    grants, naming, notes = set[Grant](), list[Statement](), list[str]()
    for statement in trust.statements:
        if statement.principals is None or statement.principals[0]:
            notes.append(f"{trust.name} {statement.sid}: NotPrincipal is not modelled")
            near: set[Grant] = set() if statement.allow else {"itself"}
        else:
            named = (caller.named_by(kind, name) for kind, names in statement.principals[1].items() for name in names)
            near = {grant for grant in named if grant}
        if near:
            naming.append(statement)
            if statement.allow and _verdict([Policy(trust.name, trust.version, (statement,))], request).allows:
                grants |= near
    verdict = _verdict([Policy(trust.name, trust.version, tuple(naming))], request)
    return grants, _Verdict(verdict.allows, verdict.denies, (*notes, *verdict.notes))


ALLOW_ALL = Policy("everything", _VERSIONS[0], (Statement("", True, (False, ("*",)), (False, ("*",)), None, ()),))
