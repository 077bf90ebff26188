"""What IAM holds about a user, group or role: its policies, and the condition keys that it has in every call.

Pages named here are those of docs.aws.amazon.com/IAM/latest/UserGuide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from localcloud.iam.policies import Policies, Policy, parse


@lru_cache(maxsize=512)
def _parsed(name: str, text: str) -> Policy:
    return parse(name, text)


#: A policy's name and text.
Document = tuple[str, str]
#: The documents of a user, group or role: of its identity policies, and of its boundary (None: it has none).
Documents = tuple[tuple[Document, ...], tuple[Document, ...] | None]


def _managed(policies: Iterable[Any]) -> Iterator[Document]:
    for policy in policies:
        yield policy.name, next(version.document for version in policy.versions if version.is_default)


def _attached(entity: Any) -> Iterator[Document]:
    """Inline and managed policies of a user, group or role (access_policies_managed-vs-inline)."""
    yield from entity.policies.items()
    yield from _managed(entity.managed_policies.values())


def documents_of(entity: Any, backend: Any) -> Documents:
    """The policies of a user (with those of its groups), a group or a role, as they are written."""
    identity = [*_attached(entity)]
    if entity in backend.users.values():
        identity += [policy for group in backend.get_groups_for_user(entity.name) for policy in _attached(group)]
    bound = (getattr(entity, "permissions_boundary", None) or {}).get("PermissionsBoundaryArn")
    # A boundary whose policy is gone allows nothing.
    boundary = tuple(_managed(one for arn, one in backend.managed_policies.items() if arn == bound)) if bound else None
    return tuple(identity), boundary


def policies_of(documents: Documents, session: str | None = None) -> Policies:
    """The policies in these documents.

    Args:
        session: the policy given to AssumeRole (access_policies#policies_session).

    Raises:
        Malformed: one of them is not valid.
    """
    identity, boundary = documents
    return Policies(
        tuple(_parsed(*one) for one in identity),
        None if boundary is None else tuple(_parsed(*one) for one in boundary),
        (_parsed("session policy", session),) if session else None,
    )


def principal_keys(entity: Any, backend: Any) -> dict[str, tuple[str, ...]]:
    """Condition keys of a user or role (reference_policies_condition-keys, "Properties of the principal")."""
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
