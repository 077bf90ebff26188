"""What is answered where moto's code fails on a call: AWS never fails because of what a caller sent."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from localcloud.calls import Call

BAD_REQUEST = "400 Bad Request"
#: Each service's error code for an id that it does not know (API reference, "Errors"), where it is not the usual one.
UNKNOWN = {"kms": "NotFoundException", "iam": "NoSuchEntity", "ssm": "DoesNotExistException"}


def answer(error: Exception, call: Call) -> tuple[str, str, str] | None:
    """Status, code and message; None where other code than moto's has failed, which is a fault of localcloud's."""
    if _failed_in(error) != "moto":
        return None
    if isinstance(error, KeyError) and (names := [n for n, v in _leaves(call.parameters) if error.args == (v,)]):
        return BAD_REQUEST, *_unknown(call.service, names[0], error.args[0])
    cause = f"{type(error).__name__}: {error}".rstrip(": ")
    message = f"localcloud does not model this call of {call.action} of {call.service} ({cause})"
    return BAD_REQUEST, "InvalidAction", message


def _failed_in(error: Exception) -> str:
    """The innermost package whose code failed, apart from Python's own."""
    owner, step = "", error.__traceback__
    while step is not None:
        package = str(step.tb_frame.f_globals.get("__name__")).partition(".")[0]
        owner = owner if package in sys.stdlib_module_names else package
        step = step.tb_next
    return owner


def _unknown(service: str, name: str, value: str) -> tuple[str, str]:
    """Code and message of a value that names nothing."""
    resource = re.sub("Ids?$", "", name)
    if service == "ec2" and resource != name:
        return f"Invalid{resource}ID.NotFound", f"The {resource} ID '{value}' does not exist"
    if service == "ec2":
        return "InvalidParameterValue", f"Value ({value}) for parameter {name} is invalid."
    return UNKNOWN.get(service, "ResourceNotFoundException"), f"{name} '{value}' does not exist"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value in a call's parameters, with the name of the parameter that holds it."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, name)
    else:
        yield name, value
