"""The lifecycle of an Auto Scaling group: values and a clock in, transitions and effects out.

A ``Group`` holds frozen values. Each public method takes ``now`` (seconds since the epoch), applies one event and
returns effects for its caller to apply: ``Launch`` (to be answered by ``launched`` or ``launch_failed``) and
``Terminate`` (by ``terminated``). ``tick`` applies timeouts, each at the time that it is due. What AWS refuses raises
``Refused`` with AWS's code. Nothing here knows HTTP, moto, Docker or threads.

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
    "Headroom",
    "Hook",
    "Instance",
    "Launch",
    "Preferences",
    "Refresh",
    "Refused",
    "Result",
    "Rollback",
    "Settings",
    "StateChange",
    "Subnet",
    "Template",
    "Terminate",
    "Wait",
    "headroom",
    "invalid",
    "resized",
    "stamp",
    "validated",
    "validated_hook",
]
