"""Tags of EC2's resources: limits, and what of an instance's tags its metadata shows, and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from localcloud.strictness import Strictness
from localcloud.testing import Cloud
from unit.resources import IMAGE, make_group, refused

from localcloud import imds

SHOWN = {"HttpTokens": "optional", "InstanceMetadataTags": "enabled"}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A cloud whose metadata shows a change of a running instance's tags after some seconds."""
    strictness = Strictness(propagation_seconds=0, credentials_seconds=0, metadata_tags_seconds=60)
    with Cloud.start_thread(strictness=strictness) as started:
        yield started


@pytest.fixture
def ec2(cloud: Cloud) -> Any:
    return cloud.client("ec2")


def tag(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def run(cloud: Cloud, options: dict[str, str] = SHOWN, instance_type: str = "t3.medium", **tags: str) -> str:
    specification = [{"ResourceType": "instance", "Tags": tag(**tags)}] if tags else []
    made = cloud.client("ec2").run_instances(
        ImageId=IMAGE,
        InstanceType=instance_type,
        MinCount=1,
        MaxCount=1,
        MetadataOptions=options,
        TagSpecifications=specification,
    )
    id = str(made["Instances"][0]["InstanceId"])
    cloud.client("ec2").get_waiter("instance_running").wait(InstanceIds=[id], WaiterConfig={"Delay": 0.05})
    return id


def shown(cloud: Cloud, id: str, path: str = "tags/instance/") -> str | None:
    """What the metadata service answers."""
    request = imds.Request("GET", f"/latest/meta-data/{path}")
    with cloud.world.entered():
        answer = cloud.world.metadata.answer(id, request)
    assert answer is not None
    return answer.body.decode() if answer.status == 200 else None


def test_tags_of_the_launch_are_shown_at_once_and_only_where_they_are_enabled(cloud: Cloud, ec2: Any) -> None:
    id, other = run(cloud, want="hold"), run(cloud, {"HttpTokens": "optional"}, want="hold")
    assert shown(cloud, id, "tags/instance/want") == "hold"
    assert shown(cloud, other, "tags/instance/want") is None
    ec2.modify_instance_metadata_options(InstanceId=other, InstanceMetadataTags="enabled")
    assert shown(cloud, other, "tags/instance/want") == "hold"
    ec2.modify_instance_metadata_options(InstanceId=id, InstanceMetadataTags="disabled")
    assert shown(cloud, id) is None


def test_a_change_of_a_running_instances_tags_is_shown_a_little_later(cloud: Cloud, ec2: Any) -> None:
    id = run(cloud, want="hold")
    ec2.create_tags(Resources=[id], Tags=tag(want="resume", more="x"))
    assert (shown(cloud, id, "tags/instance/want"), shown(cloud, id, "tags/instance/more")) == ("hold", None)
    cloud.advance(60)
    assert (shown(cloud, id, "tags/instance/want"), shown(cloud, id, "tags/instance/more")) == ("resume", "x")
    ec2.delete_tags(Resources=[id], Tags=[{"Key": "more"}])
    assert shown(cloud, id, "tags/instance/more") == "x"
    cloud.advance(60)
    assert shown(cloud, id, "tags/instance/more") is None


def test_on_a_type_without_nitro_only_after_a_stop_and_a_start(cloud: Cloud, ec2: Any) -> None:
    id = run(cloud, instance_type="t2.medium", want="hold")
    assert shown(cloud, id, "system") == "xen"
    ec2.create_tags(Resources=[id], Tags=tag(want="resume"))
    cloud.advance(3600)
    assert shown(cloud, id, "tags/instance/want") == "hold"
    ec2.stop_instances(InstanceIds=[id])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[id], WaiterConfig={"Delay": 0.05})
    ec2.start_instances(InstanceIds=[id])
    assert shown(cloud, id, "tags/instance/want") == "resume"


def test_a_groups_tags_are_there_from_the_first_second_and_awss_own_too(cloud: Cloud, ec2: Any) -> None:
    tags = [{"Key": "ghosthands:want", "Value": "hold@00000001", "PropagateAtLaunch": True}]
    make_group(cloud, DesiredCapacity=1, Tags=tags)
    ((id, _state),) = cloud.lifecycle_states("fleet").items()
    ec2.modify_instance_metadata_options(InstanceId=id, **SHOWN)
    assert shown(cloud, id, "tags/instance/ghosthands:want") == "hold@00000001"
    assert shown(cloud, id, "tags/instance/aws:autoscaling:groupName") == "fleet"


def test_keys_that_the_metadata_cannot_show_are_refused_where_it_shall(cloud: Cloud, ec2: Any) -> None:
    id, other = run(cloud), run(cloud, {"HttpTokens": "optional"})
    with refused("InvalidParameterValue", "is not a valid tag key"):
        ec2.create_tags(Resources=[id], Tags=[{"Key": "a/b", "Value": "x"}])
    ec2.create_tags(Resources=[other], Tags=[{"Key": "a/b", "Value": "x"}])
    with refused("InvalidParameterValue", "is not a valid tag key"):
        ec2.modify_instance_metadata_options(InstanceId=other, InstanceMetadataTags="enabled")


def test_tags_are_limited_in_number_and_length_and_nothing_is_half_done(cloud: Cloud, ec2: Any) -> None:
    id = run(cloud)
    with refused("TagLimitExceeded"):
        ec2.create_tags(Resources=[id], Tags=tag(**{f"key{n}": "" for n in range(51)}))
    ec2.create_tags(Resources=[id], Tags=tag(**{f"key{n}": "" for n in range(50)}))
    with refused("TagLimitExceeded"):
        ec2.create_tags(Resources=[id], Tags=tag(more=""))
    ec2.create_tags(Resources=[id], Tags=tag(key0="x" * 256))
    for key, value in (("aws:x", ""), ("AWS:x", ""), ("k" * 128, ""), ("key1", "x" * 257)):
        with refused("InvalidParameterValue"):
            ec2.create_tags(Resources=[id], Tags=[{"Key": key, "Value": value}])
    with refused("InvalidParameterValue"):
        ec2.delete_tags(Resources=[id], Tags=[{"Key": "aws:x"}])
    with refused("InvalidParameterValue", "1000"):
        ec2.create_tags(Resources=[id] * 1001, Tags=tag(a=""))
    assert len(ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [id]}])["Tags"]) == 50
