"""Enforces IAM: refuses calls that the caller's policies do not allow, with AWS's error codes and messages.

Off by default. While on, callers with credentials in AWS's format may do what their policies allow; any other
credentials are the operator's, who may do everything. Policies of secrets and repositories are not evaluated: a call
about a resource that has one is refused. Policies of organisations and of VPC endpoints do not exist here.
(moto's own access control supports neither resources nor conditions, boundaries nor expiry.)
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from moto.core.request import Request as HttpRequest
from moto.iam.models import iam_backends
from moto.utilities.utils import get_partition

from localcloud.authorization.callers import BadCredentials, Caller, identify
from localcloud.authorization.permissions import OWN_KEYS, OWN_TAG_KEYS, RequiredPermission, required_permissions
from localcloud.authorization.resources import CallInAccount, NotModelled, key_of
from localcloud.calls import Call, read_call
from localcloud.iam.key_access import decide_key
from localcloud.iam.policies import Decision, Malformed, Request, decide, decide_trust, parse

#: Condition keys of request and caller that are modelled: if absent here, they are absent in AWS's request as well
#: (reference_policies_condition-keys).
KNOWN_KEYS = (
    OWN_KEYS
    | {
        f"aws:{key}"
        for key in """calledvia calledviafirst calledvialast currenttime epochtime multifactorauthage
    multifactorauthpresent principalaccount principalarn principalisawsservice principaltype requestedregion
    resourceaccount securetransport tagkeys tokenissuetime useragent userid username viaawsservice""".split()
    }
    | {"ec2:sourceinstancearn", "ec2:roledelivery", "kms:calleraccount"}
)
KNOWN_PREFIXES = ("aws:principaltag/", "aws:requesttag/")
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/aws4_request")
log = logging.getLogger(__name__)


class Refusal(NamedTuple):
    """An error instead of the service's answer: HTTP status line, AWS's error code, message."""

    status: str
    code: str
    message: str


#: Error -> HTTP status and code in each protocol: EC2, query, JSON; and the message (each service's "Common Errors";
#: EC2's list of error codes).
_ERRORS: dict[str, tuple[tuple[str, str], tuple[str, str], tuple[str, str], str]] = {
    "unsigned": (
        ("403 Forbidden", "MissingAuthenticationToken"),
        ("403 Forbidden", "MissingAuthenticationToken"),
        ("400 Bad Request", "MissingAuthenticationTokenException"),
        "Request is missing Authentication Token",
    ),
    "unknown": (
        ("401 Unauthorized", "AuthFailure"),
        ("403 Forbidden", "InvalidClientTokenId"),
        ("400 Bad Request", "UnrecognizedClientException"),
        "The security token included in the request is invalid.",
    ),
    "expired": (
        ("400 Bad Request", "RequestExpired"),
        ("403 Forbidden", "ExpiredToken"),
        ("400 Bad Request", "ExpiredTokenException"),
        "The security token included in the request is expired",
    ),
    "denied": (
        ("403 Forbidden", "UnauthorizedOperation"),
        ("403 Forbidden", "AccessDenied"),
        ("400 Bad Request", "AccessDeniedException"),
        "",
    ),
}
#: EC2's messages where they differ.
_EC2_MESSAGES = {
    "unknown": "AWS was not able to validate the provided access credentials",
    "expired": "Request has expired.",
}


def _refused(what: str, service: str, json: bool, message: str = "") -> Refusal:
    *codes, words = _ERRORS[what]
    status, code = codes[0 if service == "ec2" else 2 if json else 1]
    if service == "ec2":
        words = _EC2_MESSAGES.get(what, words)
        message = f"You are not authorized to perform this operation. {message}" if message else ""
    return Refusal(status, code, message or words)


class Guard:
    """Checks every call while it is on."""

    def __init__(self, on: bool = False) -> None:
        self.on = on

    def switch(self, values: dict[str, Any]) -> dict[str, Any]:
        """Turn it on or off: ``{"on": true|false}``.

        Raises:
            TypeError: ``on`` is not a boolean.
        """
        if not isinstance(values["on"], bool):
            raise TypeError("on must be true or false")
        self.on = values["on"]
        return {"enforce_iam": self.on}

    def check(self, request: HttpRequest) -> Refusal | None:
        """The error of a call that is not allowed, or of an allowed EC2 call with DryRun; None: the service answers."""
        if not self.on:
            return None
        scope = _CREDENTIAL.search(request.headers.get("Authorization", ""))
        json = "json" in (request.content_type or "")
        if scope is None:
            return _refused("unsigned", "", json)
        key, region, service = scope.groups()
        token = request.headers.get("X-Amz-Security-Token")
        return self._refuse(lambda: read_call(request), request, key, token, region, service, json)

    def refuse(self, call: Call, request: HttpRequest, key: str, token: str | None, region: str) -> Refusal | None:
        """The error of what is no request of the API, but amounts to a call of the caller with this key and token."""
        return self._refuse(lambda: call, request, key, token, region, call.service, json=True) if self.on else None

    @staticmethod
    def _refuse(
        read: Callable[[], Call],
        request: HttpRequest,
        key: str,
        token: str | None,
        region: str,
        service: str,
        json: bool,
    ) -> Refusal | None:
        try:
            caller = identify(key, token)
            return _refusal(read(), caller, request, region, json)
        except BadCredentials as bad:
            return _refused(bad.fault, service, json)
        except (NotModelled, Malformed) as problem:
            log.warning("%s refused: %s", service, problem)
            return Refusal("400 Bad Request", "InvalidAction", f"localcloud cannot tell {problem}")


def _refusal(sent: Call, caller: Caller | None, request: HttpRequest, region: str, json: bool) -> Refusal | None:
    if (
        sent.service == "sts"
        and sent.action == "AssumeRole"
        and (odd := {"PolicyArns", "Tags", "SourceIdentity"} & sent.parameters.keys())
    ):
        raise NotModelled(f"what {', '.join(sorted(odd))} of AssumeRole would limit")
    if (
        sent.action == "GetCallerIdentity" and sent.service == "sts"
    ):  # API_GetCallerIdentity: "No permissions are required"
        return None
    if caller is not None:
        account = caller.principal.account
        call = CallInAccount(
            sent.service, sent.action, sent.parameters, account, region, get_partition(region), caller.user
        )
        for need in required_permissions(call):
            decision = _decided(need, caller, call, request)
            for note in decision.notes:
                log.warning("%s on %s for %s: %s", need.action, need.resource, caller.arn, note)
            if not decision.allowed:
                return _denied(sent, need, _sentence(need, caller, decision, json), json)
    if sent.service == "ec2" and sent.parameters.get("DryRun") is True:
        return Refusal(
            "412 Precondition Failed", "DryRunOperation", "Request would have succeeded, but DryRun flag is set."
        )
    return None


def _denied(sent: Call, need: RequiredPermission, sentence: str, json: bool) -> Refusal:
    """The error of a call that lacks a permission; that of a service-linked role has words of its own."""
    if need.action != "iam:CreateServiceLinkedRole" or sent.service == "iam":
        return _refused("denied", sent.service, json, sentence)
    if sent.service == "ec2":  # EC2 User Guide, service-linked-roles-spot-instance-requests
        return Refusal(
            "403 Forbidden",
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            "The provided credentials do not have permission to create the service-linked role for EC2 Spot Instances.",
        )
    message = (  # as field reports have it
        "The default Service-Linked Role for Auto Scaling could not be created.  "
        f"com.amazonaws.services.identitymanagement.model.AmazonIdentityManagementException: {sentence} "
        "(Service: AmazonIdentityManagement; Status Code: 403; Error Code: AccessDenied; Request ID: localcloud; "
        "Proxy: null)"
    )
    return _refused("denied", sent.service, json, message)


def _sentence(need: RequiredPermission, caller: Caller, decision: Decision, json: bool) -> str:
    """AWS's message (troubleshoot_access-denied); query services name no resource where the action has none."""
    resource = f" on resource: {need.resource}" if json or need.resource != "*" else ""
    because = (
        "" if decision.kind == "resource-based policy" and not decision.explicit else f" {decision.reason(need.action)}"
    )
    return f"User: {caller.arn} is not authorized to perform: {need.action}{resource}{because}"


def _decided(need: RequiredPermission, caller: Caller, call: CallInAccount, request: HttpRequest) -> Decision:
    policy_request = Request(need.action, need.resource, _context(need, caller, call, request), known_for(need))
    if need.action.startswith("kms:") and (key := key_of(need.resource) if need.resource != "*" else None):
        return decide_key(policy_request, key, caller.principal, caller.policies)
    if need.action != "sts:AssumeRole":
        return decide(policy_request, caller.policies)
    backend: Any = iam_backends[call.account][call.partition]
    role = next((one for one in backend.roles.values() if one.arn == need.resource), None)
    trust = backend.effective("trust", role.arn, role.assume_role_policy_document) if role else None
    if role is None or trust is None:  # STS does not say whether there is such a role
        return Decision(False, kind="resource-based policy")
    return decide_trust(
        policy_request,
        parse(f"trust policy of {role.name}", trust, trust=True),
        caller.principal,
        caller.policies,
    )


def known_for(need: RequiredPermission) -> Any:
    """Whether a condition key is modelled for a permission, so that its absence is AWS's as well."""
    own = tuple(f"{service}:resourcetag/" for service in OWN_TAG_KEYS)

    def known(key: str) -> bool:
        of_tags = key.startswith(("aws:resourcetag/", *own))
        return need.tags is not None if of_tags else key in KNOWN_KEYS or key.startswith(KNOWN_PREFIXES)

    return known


def _context(
    need: RequiredPermission, caller: Caller, call: CallInAccount, request: HttpRequest
) -> dict[str, tuple[str, ...]]:
    now = time.time()
    return {
        **caller.context,
        **need.context,
        **{f"aws:resourcetag/{key}".lower(): (value,) for key, value in (need.tags or {}).items()},
        "aws:requestedregion": (call.region,),
        "kms:calleraccount": (caller.principal.account,),
        "aws:resourceaccount": (call.account,),
        "aws:currenttime": (datetime.fromtimestamp(now, UTC).isoformat(),),
        "aws:epochtime": (str(int(now)),),
        "aws:securetransport": ("true",),  # AWS is reached by TLS; loopback stands for that
        "aws:viaawsservice": ("false",),
        "aws:principalisawsservice": ("false",),
        "aws:useragent": (request.headers.get("User-Agent", ""),),
    }
