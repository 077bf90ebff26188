"""Constraints of AWS's service model, in AWS's words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from localcloud.autoscaling import constraints

MODEL = ServiceModel(Loader().load_service_model("autoscaling", "service-2"), "autoscaling")
HOOK = {"LifecycleHookName": "drain", "AutoScalingGroupName": "fleet"}


def broken(operation: str, given: dict[str, Any]) -> list[str]:
    """What AWS has against these parameters."""
    return constraints.broken(MODEL.operation_model(operation).input_shape, given)


@pytest.mark.parametrize(
    ("operation", "given", "says"),
    [
        (
            "PutLifecycleHook",
            {"LifecycleHookName": "drain"},
            "Value null at 'autoScalingGroupName' failed .* Member must not be null",
        ),
        (
            "PutLifecycleHook",
            {**HOOK, "AutoScalingGroupName": ""},
            "Value '' at 'autoScalingGroupName' .* length greater than or equal to 1",
        ),
        ("PutLifecycleHook", {**HOOK, "RoleARN": "x" * 256}, "at 'roleARN' .* length less than or equal to 255"),
        ("CreateOrUpdateTags", {"Tags": [{}]}, "Value null at 'tags.1.member.key' failed"),
        (
            "StartInstanceRefresh",
            {**HOOK, "Preferences": {"MinHealthyPercentage": 101}},
            "'101' .* value less than or equal to 100",
        ),
        ("StartInstanceRefresh", {**HOOK, "Strategy": "Sudden"}, r"enum value set: \[Rolling, ReplaceRootVolume\]"),
        (
            "CompleteLifecycleAction",
            {**HOOK, "LifecycleActionResult": "CONTINUE", "LifecycleActionToken": "x"},
            "equal to 36",
        ),
    ],
)
def test_a_violated_constraint_has_awss_message(operation: str, given: dict[str, Any], says: str) -> None:
    (problem,) = broken(operation, given)
    assert constraints.refusal([problem]).startswith("1 validation error detected: ")
    assert re.search(says, problem)


def test_all_violations_are_in_one_error() -> None:
    problems = broken("PutLifecycleHook", {"LifecycleHookName": "a b", "RoleARN": ""})
    assert len(problems) == 3
    assert constraints.refusal(problems).startswith("3 validation errors detected: ")


def test_a_valid_call_and_a_pattern_that_python_cannot_read_pass() -> None:
    assert broken("PutLifecycleHook", {**HOOK, "AutoScalingGroupName": "Flotte für Prüfung 😀"}) == []
    assert broken("DescribeAdjustmentTypes", {}) == []
