"""docs/localcloud.md names what localcloud refuses of Auto Scaling, and nothing else."""

from __future__ import annotations

import re

from botocore.loaders import Loader
from botocore.model import ServiceModel
from localcloud.autoscaling.service import PREFERENCES, UNDERSTOOD, AutoScaling

from tests.house.repository import ROOT

MODEL = ServiceModel(Loader().load_service_model("autoscaling", "service-2"), "autoscaling")


def test_every_refused_operation_and_option_is_named() -> None:
    text = (ROOT / "docs/localcloud.md").read_text(encoding="utf-8").partition("## Not modelled")[2]
    named = set(re.findall(r"\w+", text))
    answered = {name for name in MODEL.operation_names if method(name) in vars(AutoScaling)}
    group_options = {
        *MODEL.shape_for("CreateAutoScalingGroupType").members,
        *MODEL.shape_for("UpdateAutoScalingGroupType").members,
    }
    refresh_options = MODEL.shape_for("RefreshPreferences").members.keys()
    refused = (
        (set(MODEL.operation_names) - answered) | (group_options - UNDERSTOOD) | (refresh_options - PREFERENCES.keys())
    )
    assert not refused - named
    mentioned = {"TerminateInstanceInAutoScalingGroup", "DescribeScalingActivities"}  # to explain what is refused
    assert not (answered | UNDERSTOOD) & named - mentioned


def method(operation: str) -> str:
    """The name of the method that answers an operation."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
