"""The session of its role that EC2 gives an instance through its metadata."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.iam.models import iam_backends
from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition

from localcloud import seed
from localcloud.iam.policies import Policies, Principal, Request, decide_trust, parse

#: EC2 gives an instance new credentials this long before the old ones expire; AWS promises five minutes
#: (EC2 User Guide, instance-metadata-security-credentials).
RENEWED_BEFORE = timedelta(hours=1)
ROLE_SESSION = timedelta(hours=6)


class NotTrusted(Exception):
    """EC2 may not assume the role: the metadata's ``iam/info`` has the code ``AssumeRoleUnauthorizedAccess``."""


@dataclass(frozen=True)
class RoleCredentials:
    """Credentials of an instance's role, as instance metadata shows them; times are aware and in UTC."""

    access_key_id: str
    secret_access_key: str
    token: str
    last_updated: datetime
    expiration: datetime


def role_session(
    role: str, instance_id: str, account: str = seed.ACCOUNT, region: str = seed.REGION
) -> RoleCredentials:
    """Credentials of a role for an instance: the same ones until an hour before they expire, then new ones.

    Args:
        role: name of the role.

    Raises:
        LookupError: no such role, or EC2 does not know of it yet.
        NotTrusted: its trust policy does not let ec2.amazonaws.com assume it (id_roles_use_switch-role-ec2).
    """
    partition = get_partition(region)
    iam: Any = iam_backends[account][partition]
    found = next((one for one in iam.roles.values() if one.name == role), None)
    text = iam.effective("trust", found.arn, found.assume_role_policy_document) if found else None
    if found is None or text is None:
        raise LookupError(f"no role {role}")
    instance = f"arn:{partition}:ec2:{region}:{account}:instance/{instance_id}"
    asked = Request("sts:AssumeRole", found.arn, {"ec2:sourceinstancearn": (instance,)})
    trust = parse(f"trust policy of {role}", text, trust=True)
    ec2 = Principal("ec2.amazonaws.com", account, service=True)
    if not decide_trust(asked, trust, ec2, Policies(())).allowed:
        raise NotTrusted(f"EC2 cannot assume the role {role}")
    sts: Any = sts_backends[account][partition]
    session = sts.instance_session(found.arn, instance, ROLE_SESSION, RENEWED_BEFORE)
    return RoleCredentials(
        session.access_key_id,
        session.secret_access_key,
        session.session_token,
        (session.expiration - ROLE_SESSION).replace(tzinfo=UTC),
        session.expiration.replace(tzinfo=UTC),
    )
