"""An API call as its client sent it, whatever the protocol, without secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model

#: Parameters whose value is never written ...
SECRET = re.compile(r"secret(string|binary)|password|token$|private_?key|plaintext", re.IGNORECASE)
#: ... but for these: tokens of paging, of idempotence and of lifecycle actions are no secrets.
HARMLESS = frozenset({"NextToken", "nextToken", "ClientToken", "ClientRequestToken", "LifecycleActionToken"})
REMOVED = "(removed)"
#: Names in signatures (and in IAM) for which botocore has another one.
MODELS = {"servicequotas": "service-quotas"}


@dataclass(frozen=True)
class Call:
    """An API call as its client meant it: botocore's names of service, action and parameters."""

    service: str
    action: str
    parameters: dict[str, Any]


def read_call(request: Request) -> Call:
    """Parse a request of any AWS protocol; what cannot be read is named by its path."""
    service = _service(request)
    try:
        model = get_service_model(MODELS.get(service, service))
        action, uri = _action(service, request)
        parser = PROTOCOL_PARSERS[determine_request_protocol(model, request.content_type)]
        parsed = parser(model.operation_model(action), map_type=dict).parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.get_data(),
                "url_path": request.path,
                "url_params": uri,
            }
        )
    except Exception:  # a trace must never break the call that it describes
        return Call(service or "unknown", request.headers.get("X-Amz-Target", request.path), {})
    return Call(service, action, without_secrets(_plain(parsed)))


def _service(request: Request) -> str:
    """The signing name in the credential scope; only STS takes calls that are not signed, from other identities."""
    match = re.search(r"Credential=[^/]*/\d+/[^/]*/([^/]+)/aws4_request", request.headers.get("Authorization", ""))
    unsigned = "sts" if str(request.values.get("Action")).startswith("AssumeRoleWith") else ""
    return match.group(1) if match else unsigned


def _action(service: str, request: Request) -> tuple[str, dict[str, Any]]:
    if action := request.values.get("Action"):
        return action, {}
    if target := request.headers.get("X-Amz-Target"):
        return target.rsplit(".", 1)[-1], {}
    operation, uri = get_service_router(service).match(request)
    return operation.name, uri


def _plain(value: Any) -> Any:
    """The value in JSON's types."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def without_secrets(value: Any) -> Any:
    """The value with every secret parameter's content replaced by ``REMOVED``."""
    if isinstance(value, list):
        return [without_secrets(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        key: REMOVED if key not in HARMLESS and SECRET.search(key) else without_secrets(part)
        for key, part in value.items()
    }
