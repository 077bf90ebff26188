"""The lifecycle of an Auto Scaling group: values and a clock in, transitions and effects out.

A ``Group`` holds frozen values. Each public method takes ``now`` (seconds since the epoch), applies one event and
returns the effects that the outside world owes it: ``Launch`` (answered by ``launched`` or ``launch_failed``) and
``Terminate`` (answered by ``terminated``). ``tick`` lets time pass: timeouts act at the moment they fall due, not when
somebody looks. What AWS refuses raises ``Refused`` with AWS's code. Nothing here knows HTTP, moto, Docker or threads.

Rules cite the Amazon EC2 Auto Scaling user guide (UG) or API reference (API); "(derived)" marks what neither states.
"""

from localcloud.fleet.refresh import ACTIVE, Group, Preferences, Refresh, Rollback
from localcloud.fleet.values import (
    COUNTED,
    LAUNCH_RETRY_SECONDS,
    LAUNCHING,
    LONGEST_WAIT_SECONDS,
    PROCESSES,
    TERMINATING,
    TERMINATION_POLICIES,
    Activity,
    Candidate,
    Effect,
    Extra,
    Headroom,
    Hook,
    Instance,
    Launch,
    Refused,
    Result,
    Settings,
    StateChange,
    Subnet,
    Template,
    Terminate,
    Wait,
    headroom,
    invalid,
    resized,
    stamp,
    validated,
    validated_hook,
)

__all__ = [
    "ACTIVE",
    "COUNTED",
    "LAUNCHING",
    "LAUNCH_RETRY_SECONDS",
    "LONGEST_WAIT_SECONDS",
    "PROCESSES",
    "TERMINATING",
    "TERMINATION_POLICIES",
    "Activity",
    "Candidate",
    "Effect",
    "Extra",
    "Group",
    "Hook",
    "Instance",
    "Launch",
    "StateChange",
    "Preferences",
    "Refresh",
    "Refused",
    "Result",
    "Rollback",
    "Headroom",
    "Settings",
    "Subnet",
    "Template",
    "Terminate",
    "Wait",
    "invalid",
    "resized",
    "headroom",
    "stamp",
    "validated",
    "validated_hook",
]
