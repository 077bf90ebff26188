"""The quick picker finds what moto's finds."""

from __future__ import annotations

from typing import Any

import moto.core.responses
import pytest
from localcloud.patches.picker import Picker
from localcloud.testing import Cloud
from moto.core.serialize import XFormedAttributePicker
from unit.resources import described, make_group

CALLS = "describe_instances describe_images describe_volumes describe_network_interfaces describe_vpcs describe_security_groups".split()


def test_every_answer_is_the_same_as_with_motos_own_picker(
    cloud: Cloud, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=2)

    def answers() -> list[Any]:
        given = [getattr(ec2, call)() for call in CALLS]
        for answer in given:
            del answer["ResponseMetadata"]
        return [*given, described(autoscaling)]

    quick = answers()
    assert vars(moto.core.responses)["XFormedAttributePicker"] is Picker
    monkeypatch.setattr("moto.core.responses.XFormedAttributePicker", XFormedAttributePicker)
    assert answers() == quick
