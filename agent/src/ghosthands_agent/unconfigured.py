"""What `watch` needs to know where agent.conf is missing or refused: from the metadata service and the group itself.

No worker can run there. The instance is replaced, within the limit of replacement.py, and its termination hook is
completed: else each such instance would be launched, billed and retained without any limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .passing_errors import BackOff
from .ports import PortError, Ports, Procedure, Refused
from .settings import RANGES, Settings

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
STEP_SECONDS = 5.0  # the watchdog of systemd wants a sign of life each minute
LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
#: A hook's name where the group has none of that transition: no hook has this one, and its calls find no action.
NO_HOOK = "ghosthands-no-such-hook"

Call = Callable[..., Any]


def find_settings(ports: Ports, region: Callable[[], str], call_in: Callable[[str], Call]) -> Procedure[Settings]:
    """The settings of an instance without a valid agent.conf, as soon as it is in a group and they can be read.

    :param region: reads the instance's region.
    :param call_in: gives `Account.call` for a region.
    """
    back_off, said = BackOff(ports.random, FIRST_PAUSE, LONGEST_PAUSE), ""
    ports.supervisor.ready()
    while True:
        try:
            if ports.metadata.target_state() is not None:
                found = region()
                return _settings(call_in(found), found, ports.metadata.instance().id)
        except PortError as error:
            if said != str(error):
                said = str(error)
                ports.journal.step("group_unknown", "error", call=error.call, code=error.code)
        until = ports.clock.monotonic() + back_off.pause()
        while ports.clock.monotonic() < until:
            ports.supervisor.alive()
            yield STEP_SECONDS


def _settings(call: Call, region: str, instance_id: str) -> Settings:
    """Raises PortError; Refused (`NotFound`) where the instance is in no group."""
    found = call("autoscaling", "describe_auto_scaling_instances", InstanceIds=[instance_id])["AutoScalingInstances"]
    if not found:
        raise Refused("autoscaling:describe_auto_scaling_instances", "NotFound")
    group = str(found[0]["AutoScalingGroupName"])
    hooks = call("autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=group)["LifecycleHooks"]
    by_transition = {each["LifecycleTransition"]: each for each in hooks}
    terminating, launching = by_transition.get(TERMINATING, {}), by_transition.get(LAUNCHING, {})
    return without_configuration(
        region,
        group,
        terminating.get("LifecycleHookName", NO_HOOK),
        int(terminating.get("HeartbeatTimeout", RANGES["HEARTBEAT_TIMEOUT_SECONDS"][0])),
        launching.get("LifecycleHookName"),
        int(launching.get("HeartbeatTimeout", RANGES["LAUNCH_HOOK_TIMEOUT_SECONDS"][0])),
    )


def without_configuration(
    region: str = "",
    group: str = "",
    hook: str = NO_HOOK,
    timeout: int = RANGES["HEARTBEAT_TIMEOUT_SECONDS"][0],
    launch_hook: str | None = None,
    launch_timeout: int = RANGES["LAUNCH_HOOK_TIMEOUT_SECONDS"][0],
) -> Settings:
    """Settings for `watch` alone: nothing boots with them, so what concerns a worker is the least that is valid."""
    return Settings(
        region=region,
        group=group,
        termination_hook=hook,
        secret_id="",
        image="",
        launch_hook=launch_hook,
        endpoint_url=None,
        image_fallback="never",
        drain_policy="wait_idle",
        drain_limit_seconds=RANGES["DRAIN_LIMIT_SECONDS"][0],
        spot_limit_seconds=RANGES["SPOT_LIMIT_SECONDS"][0],
        heartbeat_timeout_seconds=timeout,
        stop_grace_seconds=RANGES["STOP_GRACE_SECONDS"][0],
        boot_timeout_seconds=RANGES["BOOT_TIMEOUT_SECONDS"][0],
        required_keys=(),
        worker_completes_hook=False,
        log_group=None,
        worker_guard="off",
        protection_linger_seconds=0,
        launch_hook_timeout_seconds=launch_timeout,
        retained_max=0,
        worker_memory=None,
        api_memory=None,
        deploy_memory=None,
    )
