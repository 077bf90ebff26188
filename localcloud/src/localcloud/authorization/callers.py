"""The caller: the user or role behind an access key, with the policies that apply to it.

Pages named here are those of docs.aws.amazon.com/IAM/latest/UserGuide. Signatures are not verified: an access key id,
and the token of a session, identify the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from moto.core.utils import utcnow
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

from localcloud.iam.policies import Policies, Principal
from localcloud.iam.principals import principal_keys

#: Access key ids of users and of sessions (reference_identifiers#identifiers-unique-ids). Others are the operator's.
KEY = re.compile(r"(AKIA|ASIA)[A-Z0-9]{16}")


class BadCredentials(Exception):
    """Credentials in AWS's format that are not valid; ``fault`` says why."""

    def __init__(self, fault: Literal["unknown", "expired"]) -> None:
        super().__init__(fault)
        self.fault: Literal["unknown", "expired"] = fault


@dataclass(frozen=True)
class Caller:
    """A user, or the session of a role.

    Attributes:
        principal: as trust policies name it.
        context: condition keys about the caller, in lower case (reference_policies_condition-keys).
        user: name of the user; None for a session.
    """

    principal: Principal
    policies: Policies
    context: Mapping[str, tuple[str, ...]]
    user: str | None = None

    @property
    def arn(self) -> str:
        """As AWS's errors name it."""
        return self.principal.session or self.principal.arn


def identify(key: str, token: str | None) -> Caller | None:
    """Return the caller with an access key; None for the operator, who has any key that is not in AWS's format.

    Args:
        token: of ``X-Amz-Security-Token``.

    Raises:
        BadCredentials: an unknown or inactive key, or a session's key without its token
            (id_credentials_temp_use-resources).
        Malformed: a policy of the caller is not valid.
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
        status = next(one for one in user.access_keys if one.access_key_id == key).status
        if backend.effective("access key", key, status) != "Active":
            return None
        return _of_user(user, backend)
    return None


def _of_user(user: Any, backend: Any) -> Caller:
    return Caller(
        Principal(user.arn, user.account_id), backend.effective_policies(user), principal_keys(user, backend), user.name
    )


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
        backend.effective_policies(role, session.policy),
        _about_session(session, role, backend),
    )


def _about_session(session: Any, role: Any, backend: Any) -> dict[str, tuple[str, ...]]:
    context = {
        **principal_keys(role, backend),
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


def _all(holder: Any) -> Iterator[Any]:
    """Every account's backend of a service."""
    for regions in list(holder.values()):
        yield from list(regions.values())
