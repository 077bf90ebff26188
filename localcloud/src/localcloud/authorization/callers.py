"""Who calls: the user or role behind an access key, with all policies that speak for or against it.

Rules are those of docs.aws.amazon.com/IAM/latest/UserGuide, whose pages are named. Signatures are not verified: a key's id, and a session's token, are
taken as proof of who has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from moto.core.utils import utcnow
from moto.iam.models import iam_backends
from moto.sts.models import AssumedRole, sts_backends

from localcloud.iam.policies import Policies, Policy, Principal, parse

#: AWS's access keys begin so: of users, and of sessions (reference_identifiers#identifiers-unique-ids). Any other is nobody's, and the operator's here.
KEY = re.compile(r"(AKIA|ASIA)[A-Z0-9]{16}")


class BadCredentials(Exception):
    """Credentials that look like AWS's and are not good. ``fault`` says why."""

    def __init__(self, fault: Literal["unknown", "expired"]) -> None:
        super().__init__(fault)
        self.fault: Literal["unknown", "expired"] = fault


@dataclass(frozen=True)
class Caller:
    """Somebody whose policies count.

    Attributes:
        principal: as trust policies may name it; ``principal.session or principal.arn`` is how AWS's refusals do.
        context: condition keys about the caller, in lower case (reference_policies_condition-keys).
        user: name of the user; None for a session.
    """

    principal: Principal
    policies: Policies
    context: Mapping[str, tuple[str, ...]]
    user: str | None = None

    @property
    def arn(self) -> str:
        """As AWS's refusals name it."""
        return self.principal.session or self.principal.arn


class Session(AssumedRole):
    """A role's session; of an instance's role if ``instance_arn`` is set."""

    instance_arn: str | None = None


@lru_cache(maxsize=512)
def _parsed(name: str, text: str) -> Policy:
    return parse(name, text)


def _managed(policies: Iterable[Any]) -> Iterator[Policy]:
    for policy in policies:
        document = next(version.document for version in policy.versions if version.is_default)
        yield _parsed(policy.name, document)


def _attached(entity: Any) -> Iterator[Policy]:
    """Inline and managed policies of a user, group or role (access_policies_managed-vs-inline)."""
    yield from (_parsed(name, text) for name, text in entity.policies.items())
    yield from _managed(entity.managed_policies.values())


def policies_of(entity: Any, backend: Any, session: str | None = None) -> Policies:
    """The policies of a user (with those of its groups), a group or a role.

    Args:
        session: the policy given to AssumeRole (access_policies#policies_session).

    Raises:
        Malformed: one of them is none.
    """
    identity = [*_attached(entity)]
    if entity in backend.users.values():
        identity += [policy for group in backend.get_groups_for_user(entity.name) for policy in _attached(group)]
    bound = (getattr(entity, "permissions_boundary", None) or {}).get("PermissionsBoundaryArn")
    # A boundary whose policy is gone allows nothing.
    boundary = tuple(_managed(one for arn, one in backend.managed_policies.items() if arn == bound)) if bound else None
    return Policies(tuple(identity), boundary, (_parsed("session policy", session),) if session else None)


def identify(key: str, token: str | None) -> Caller | None:
    """Whose an access key is; None: nobody's, so the operator's.

    Args:
        token: of ``X-Amz-Security-Token``.

    Raises:
        BadCredentials: no such key, a deactivated one, a session's without or with another's token (id_credentials_temp_use-resources).
        Malformed: a policy of the caller is none.
    """
    if not KEY.fullmatch(key):
        return None
    caller = _user(key) if key.startswith("AKIA") and not token else _session(key, token)
    if caller is None:
        raise BadCredentials("unknown")
    return caller


def _user(key: str) -> Caller | None:
    for backend in _all(iam_backends):
        if (user := backend.get_user_from_access_key_id(key)) is None:
            continue
        if next(one for one in user.access_keys if one.access_key_id == key).status != "Active":
            return None
        return _of_user(user, backend)
    return None


def _of_user(user: Any, backend: Any) -> Caller:
    return Caller(Principal(user.arn, user.account_id), policies_of(user, backend), about(user, backend), user.name)


def _session(key: str, token: str | None) -> Caller | None:
    session = next(
        (found for backend in _all(sts_backends) if (found := backend.get_assumed_role_from_access_key(key))), None
    )
    if session is None or session.session_token != token:
        return None
    backend: Any = iam_backends[session.account_id][session.partition]
    role = next((one for one in backend.roles.values() if one.arn == session.role_arn), None)
    if role is None:
        return None
    if session.expiration <= utcnow():
        raise BadCredentials("expired")
    return Caller(
        Principal(role.arn, session.account_id, session.arn),
        policies_of(role, backend, session.policy),
        _about_session(session, role, backend),
    )


def _about_session(session: Any, role: Any, backend: Any) -> dict[str, tuple[str, ...]]:
    context = {
        **about(role, backend),
        "aws:principaltype": ("AssumedRole",),
        "aws:userid": (session.user_id,),
        "aws:multifactorauthpresent": ("false",),
        "aws:tokenissuetime": (session.access_key.create_date.isoformat() + "Z",),
    }
    if instance := getattr(
        session, "instance_arn", None
    ):  # EC2 User Guide, iam-roles-for-amazon-ec2: keys of an instance's role
        context |= {"ec2:sourceinstancearn": (instance,), "ec2:roledelivery": ("2.0",)}
    return context


def about(entity: Any, backend: Any) -> dict[str, tuple[str, ...]]:
    """Condition keys that a user or role has in every call (reference_policies_condition-keys, "Properties of the principal")."""
    user = entity in backend.users.values()
    tags = (
        backend.tagger.get_tag_dict_for_resource(entity.arn)
        if user
        else {tag["Key"]: tag["Value"] for tag in entity.tags or []}
    )
    context: dict[str, tuple[str, ...]] = {
        f"aws:principaltag/{key}".lower(): (str(value),) for key, value in tags.items()
    }
    context |= {"aws:principalarn": (entity.arn,), "aws:principalaccount": (entity.account_id,)}
    own: dict[str, tuple[str, ...]] = {
        "aws:principaltype": ("User",),
        "aws:userid": (entity.id,),
        "aws:username": (entity.name,),
    }
    return context | own if user else context


def _all(holder: Any) -> Iterator[Any]:
    """Every account's backend of a service."""
    for regions in list(holder.values()):
        yield from list(regions.values())
