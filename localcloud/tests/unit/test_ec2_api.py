"""EC2 as a boto3 client sees it: the seeds, launch templates, security groups, instances."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from localcloud.testing import Cloud
from unit.resources import IMAGE, SUBNETS, TEMPLATE, USER_DATA, instances, make_group, make_template, refused

TOO_MANY = "RulesPerSecurityGroupLimitExceeded"
VPC = "vpc-010ca1c10d0000001"


# --- seed -----------------------------------------------------------------------------


def test_the_seed_has_a_default_vpc_with_a_default_subnet_in_each_zone_and_a_second_vpc(ec2: Any) -> None:
    assert {v["VpcId"]: (v["CidrBlock"], v["IsDefault"]) for v in ec2.describe_vpcs()["Vpcs"]} == {
        VPC: ("172.28.0.0/16", True),
        "vpc-010ca1c10d0000002": ("10.9.0.0/16", False),
    }
    subnets = ec2.describe_subnets()["Subnets"]
    assert {
        s["SubnetId"]: (s["VpcId"][-1], s["AvailabilityZone"], s["CidrBlock"], s["DefaultForAz"]) for s in subnets
    } == {
        SUBNETS[0]: ("1", "us-east-1a", "172.28.1.0/24", True),
        SUBNETS[1]: ("1", "us-east-1b", "172.28.2.0/24", True),
        "subnet-010ca1c10d00001c3": ("1", "us-east-1c", "172.28.3.0/24", True),
        "subnet-010ca1c10d00001d4": ("1", "us-east-1d", "172.28.4.0/24", True),
        "subnet-010ca1c10d00001e5": ("1", "us-east-1e", "172.28.5.0/24", True),
        "subnet-010ca1c10d00001f6": ("1", "us-east-1f", "172.28.6.0/24", True),
        "subnet-010ca1c10d00000c3": ("2", "us-east-1a", "10.9.1.0/24", False),
    }
    assert all(s["MapPublicIpOnLaunch"] == s["DefaultForAz"] for s in subnets)
    assert {g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]} == {
        "sg-010ca1c10d0000001",
        "sg-010ca1c10d0000002",
    }
    routes = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [VPC]}])["RouteTables"][0]["Routes"]
    assert {r["DestinationCidrBlock"]: r["GatewayId"] for r in routes}["0.0.0.0/0"] == "igw-010ca1c10d0000001"


def test_the_newest_image_by_name_is_an_imposters_unless_the_owner_is_asked_for(ec2: Any) -> None:
    names = [{"Name": "name", "Values": ["al2023-ami-2023.*-kernel-6.1-x86_64"]}]

    def newest(**owner: Any) -> str:
        images = ec2.describe_images(Filters=names, **owner)["Images"]
        return str(max(images, key=lambda i: i["CreationDate"])["OwnerId"])

    assert newest() == "999999999999"
    assert newest(Owners=["137112412989"]) == "137112412989"
    assert newest(Owners=["amazon"]) == "137112412989"


def test_own_images_carry_tags_dates_and_an_encrypted_root_volume(ec2: Any) -> None:
    images = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": ["gh-worker-*"]}])["Images"]
    assert {i["ImageId"]: (i["Name"], i["Architecture"], i["CreationDate"]) for i in images} == {
        IMAGE: ("gh-worker-20260801000000", "x86_64", "2026-08-01T00:00:00.000Z"),
        "ami-010ca1c10d000a002": ("gh-worker-20260901000000-arm64", "arm64", "2026-09-01T00:00:00.000Z"),
    }
    for image in images:
        assert image["State"] == "available"
        assert {t["Key"]: t["Value"] for t in image["Tags"]} == {
            "Name": "gh-worker-golden",
            "Project": "wekruit",
            "ghosthands:agent-schema": "4",
        }
        device = image["BlockDeviceMappings"][0]
        assert (device["DeviceName"], device["Ebs"]["VolumeSize"], device["Ebs"]["Encrypted"]) == ("/dev/xvda", 8, True)
        assert ec2.describe_snapshots(SnapshotIds=[device["Ebs"]["SnapshotId"]])["Snapshots"][0]["Encrypted"] is True


def test_another_region_has_neither_network_nor_images(cloud: Cloud) -> None:
    elsewhere = cloud.client("ec2", "eu-west-1")
    assert elsewhere.describe_vpcs()["Vpcs"] == []
    assert elsewhere.describe_images()["Images"] == []


# --- launch templates ---------------------------------------------------------------------------------------


def test_a_templates_own_tags_do_not_leak_into_its_data(ec2: Any) -> None:
    ec2.create_launch_template(
        LaunchTemplateName="workers",
        LaunchTemplateData=TEMPLATE,
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "Project", "Value": "wekruit"}]}],
    )
    assert ec2.describe_launch_templates()["LaunchTemplates"][0]["Tags"] == [{"Key": "Project", "Value": "wekruit"}]
    version = ec2.describe_launch_template_versions(LaunchTemplateName="workers")["LaunchTemplateVersions"][0]
    assert version["LaunchTemplateData"] == TEMPLATE


def test_a_version_without_a_source_holds_only_what_it_names(ec2: Any) -> None:
    make_template(ec2)
    ec2.create_launch_template_version(LaunchTemplateName="workers", LaunchTemplateData={"InstanceType": "t3.large"})
    latest = ec2.describe_launch_template_versions(LaunchTemplateName="workers", Versions=["$Latest"])
    assert latest["LaunchTemplateVersions"][0]["LaunchTemplateData"] == {"InstanceType": "t3.large"}


@pytest.mark.parametrize("source", ["1", "$Latest", "$Default"])
def test_a_version_with_a_source_lays_its_data_over_it(ec2: Any, source: str) -> None:
    make_template(ec2)
    made = ec2.create_launch_template_version(
        LaunchTemplateName="workers", SourceVersion=source, LaunchTemplateData={"InstanceType": "t3.large"}
    )
    assert made["LaunchTemplateVersion"]["LaunchTemplateData"] == {**TEMPLATE, "InstanceType": "t3.large"}


def test_user_data_of_a_later_version_launches(cloud: Cloud, ec2: Any) -> None:
    make_template(ec2, UserData="Zmlyc3Q=")
    ec2.create_launch_template_version(
        LaunchTemplateName="workers", SourceVersion="1", LaunchTemplateData={"UserData": USER_DATA}
    )
    make_group(cloud, template={"LaunchTemplateName": "workers", "Version": "2"}, DesiredCapacity=1)
    id = instances(ec2)[0]["InstanceId"]
    assert ec2.describe_instance_attribute(InstanceId=id, Attribute="userData")["UserData"]["Value"] == USER_DATA


def test_more_than_fifteen_versions_are_listed_newest_first_and_paged(ec2: Any) -> None:
    make_template(ec2)
    for _ in range(19):
        ec2.create_launch_template_version(
            LaunchTemplateName="workers", LaunchTemplateData={"InstanceType": "t3.small"}
        )
    everything = ec2.describe_launch_template_versions(LaunchTemplateName="workers")["LaunchTemplateVersions"]
    assert [v["VersionNumber"] for v in everything] == list(range(20, 0, -1))
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(
        LaunchTemplateName="workers", PaginationConfig={"PageSize": 8}
    )
    assert [len(page["LaunchTemplateVersions"]) for page in pages] == [8, 8, 4]


def test_versions_are_found_by_number_range_latest_and_default(ec2: Any) -> None:
    make_template(ec2)
    for _ in range(3):
        ec2.create_launch_template_version(
            LaunchTemplateName="workers", LaunchTemplateData={"InstanceType": "t3.small"}
        )
    ec2.modify_launch_template(LaunchTemplateName="workers", DefaultVersion="2")

    def numbers(**parameters: Any) -> list[int]:
        answer = ec2.describe_launch_template_versions(LaunchTemplateName="workers", **parameters)
        return [v["VersionNumber"] for v in answer["LaunchTemplateVersions"]]

    assert numbers(Versions=["$Latest", "$Default"]) == [4, 2]
    assert numbers(Versions=["1", "3"]) == [1, 3]
    assert numbers(MinVersion="2", MaxVersion="3") == [3, 2]
    template = ec2.describe_launch_templates(LaunchTemplateNames=["workers"])["LaunchTemplates"][0]
    assert (template["DefaultVersionNumber"], template["LatestVersionNumber"]) == (2, 4)


def test_deleted_versions_leave_their_numbers_unused_and_the_default_stays(ec2: Any) -> None:
    make_template(ec2)
    for _ in range(2):
        ec2.create_launch_template_version(
            LaunchTemplateName="workers", LaunchTemplateData={"InstanceType": "t3.small"}
        )
    answer = ec2.delete_launch_template_versions(LaunchTemplateName="workers", Versions=["3", "9"])
    assert [v["VersionNumber"] for v in answer["SuccessfullyDeletedLaunchTemplateVersions"]] == [3]
    failure = answer["UnsuccessfullyDeletedLaunchTemplateVersions"][0]
    assert failure["ResponseError"]["Code"] == "launchTemplateVersionDoesNotExist"
    made = ec2.create_launch_template_version(
        LaunchTemplateName="workers", LaunchTemplateData={"InstanceType": "t3.nano"}
    )
    assert made["LaunchTemplateVersion"]["VersionNumber"] == 4
    with refused("InvalidLaunchTemplateId.VersionIsDefault"):
        ec2.delete_launch_template_versions(LaunchTemplateName="workers", Versions=["1"])


@pytest.mark.parametrize(
    ("call", "parameters", "code"),
    [
        (
            "describe_launch_templates",
            {"LaunchTemplateNames": ["missing"]},
            "InvalidLaunchTemplateName.NotFoundException",
        ),
        ("describe_launch_templates", {"LaunchTemplateIds": ["lt-01"]}, "InvalidLaunchTemplateId.NotFound"),
        (
            "describe_launch_template_versions",
            {"LaunchTemplateName": "missing"},
            "InvalidLaunchTemplateName.NotFoundException",
        ),
        (
            "describe_launch_template_versions",
            {"LaunchTemplateName": "workers", "Versions": ["9"]},
            "InvalidLaunchTemplateId.VersionNotFound",
        ),
        ("describe_launch_template_versions", {}, "MissingParameter"),
        (
            "modify_launch_template",
            {"LaunchTemplateName": "workers", "DefaultVersion": "9"},
            "InvalidLaunchTemplateId.VersionNotFound",
        ),
        ("delete_launch_template", {"LaunchTemplateName": "missing"}, "InvalidLaunchTemplateName.NotFoundException"),
        (
            "create_launch_template",
            {"LaunchTemplateName": "workers", "LaunchTemplateData": {"InstanceType": "t3.small"}},
            "InvalidLaunchTemplateName.AlreadyExistsException",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_template_calls_get_aws_error_codes(ec2: Any, call: str, parameters: dict[str, Any], code: str) -> None:
    make_template(ec2)
    with refused(code):
        getattr(ec2, call)(**parameters)


# --- instances and security groups --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "t3.huge"}, "InvalidParameterValue"),
        ({"InstanceType": "t4g.medium"}, "InvalidParameterValue"),
        ({"KeyName": "missing"}, "InvalidKeyPair.NotFound"),
    ],
    ids=str,
)
def test_an_instance_that_cannot_be_is_refused(ec2: Any, parameters: dict[str, Any], code: str) -> None:
    with refused(code):
        ec2.run_instances(**{"ImageId": IMAGE, "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1, **parameters})
    assert ec2.describe_instances()["Reservations"] == []


def test_an_instance_profile_that_is_not_there_is_refused_before_anything_is_launched(ec2: Any) -> None:
    make_template(ec2, IamInstanceProfile={"Name": "missing"})
    with refused("InvalidParameterValue", "Invalid IAM Instance Profile name"):
        ec2.run_instances(LaunchTemplate={"LaunchTemplateName": "workers"}, MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])
    assert ec2.describe_instances()["Reservations"] == []


def test_a_root_volume_is_the_images_by_default(ec2: Any) -> None:
    ec2.run_instances(ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])
    volumes = ec2.describe_volumes()["Volumes"]
    assert [(v["Size"], v["Encrypted"], v["Attachments"][0]["Device"]) for v in volumes] == [(8, True, "/dev/xvda")]


def test_a_terminated_instance_stays_visible_for_a_while_without_resources(
    cloud: Cloud, ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = ec2.create_security_group(GroupName="workers", Description="d", VpcId=VPC)["GroupId"]
    autoscaling = make_group(cloud, DesiredCapacity=1, data={"SecurityGroupIds": [group]})
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName="fleet", ForceDelete=True)
    assert [i["State"]["Name"] for i in instances(ec2)] == ["terminated"]
    assert ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    ec2.delete_security_group(GroupId=group)
    monkeypatch.setattr("localcloud.ec2.service.TERMINATED_VISIBLE", timedelta(0))
    assert instances(ec2) == []


def test_a_security_group_that_another_ones_rule_names_cannot_be_deleted(ec2: Any) -> None:
    source, target = (
        ec2.create_security_group(GroupName=name, Description="d", VpcId=VPC)["GroupId"]
        for name in ("source", "target")
    )
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "UserIdGroupPairs": [{"GroupId": source}]}
    ec2.authorize_security_group_ingress(GroupId=target, IpPermissions=[rule])
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=source)
    ec2.delete_security_group(GroupId=target)
    ec2.delete_security_group(GroupId=source)
    with refused("CannotDelete"):
        ec2.delete_security_group(GroupId="sg-010ca1c10d0000001")


def test_an_instance_without_a_subnet_is_launched_into_the_default_one_of_its_zone(ec2: Any) -> None:
    parameters = {"ImageId": "ami-010ca1c10d000a001", "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
    anywhere = ec2.run_instances(**parameters)["Instances"][0]
    assert (anywhere["SubnetId"], anywhere["PrivateIpAddress"][:9]) == ("subnet-010ca1c10d00000a1", "172.28.1.")
    there = ec2.run_instances(**parameters, Placement={"AvailabilityZone": "us-east-1b"})["Instances"][0]
    assert (there["SubnetId"], there["PrivateIpAddress"][:9]) == ("subnet-010ca1c10d00000b2", "172.28.2.")
    ec2.delete_subnet(SubnetId="subnet-010ca1c10d00001f6")
    with refused("MissingInput"):
        ec2.run_instances(**parameters, Placement={"AvailabilityZone": "us-east-1f"})


def test_a_security_group_has_sixty_rules_of_each_version_and_a_prefix_list_counts_with_all_its_entries(
    ec2: Any,
) -> None:
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=VPC)["GroupId"]

    def authorize(**source: Any) -> None:
        rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, **source}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])

    fours = [{"CidrIp": f"192.0.2.{n}/32"} for n in range(61)]
    with refused(TOO_MANY):
        authorize(IpRanges=fours)
    authorize(IpRanges=fours[:60])
    with refused(TOO_MANY):
        authorize(IpRanges=fours[60:])
    authorize(Ipv6Ranges=[{"CidrIpv6": f"2001:db8::{n}/128"} for n in range(60)])
    with refused(TOO_MANY):
        authorize(UserIdGroupPairs=[{"GroupId": group}])
    made = ec2.create_managed_prefix_list(PrefixListName="p", MaxEntries=61, AddressFamily="IPv4")["PrefixList"]
    other = group
    group = ec2.create_security_group(GroupName="h", Description="h", VpcId=VPC)["GroupId"]
    with refused(TOO_MANY):
        authorize(PrefixListIds=[{"PrefixListId": made["PrefixListId"]}])
    with refused("InvalidPrefixListID.NotFound"):
        authorize(PrefixListIds=[{"PrefixListId": "pl-00000000000000000"}])
    first, second = ec2.describe_security_groups(GroupIds=[other, group])["SecurityGroups"]
    (permission,) = first["IpPermissions"]
    assert (len(permission["IpRanges"]), len(permission["Ipv6Ranges"])) == (60, 60)
    assert second["IpPermissions"] == [], "what was refused is not there"


def run_template(ec2: Any, **more: Any) -> Any:
    """Launch one instance from the template."""
    template = {"LaunchTemplateName": "workers"}
    made = ec2.run_instances(LaunchTemplate=template, MinCount=1, MaxCount=1, SubnetId=SUBNETS[0], **more)
    return made["Instances"][0]


def test_a_launch_tags_its_network_interface_as_the_template_says(ec2: Any) -> None:
    tags = [{"ResourceType": "network-interface", "Tags": [{"Key": "Team", "Value": "a"}]}]
    make_template(ec2, TagSpecifications=tags)
    which = [{"Name": "attachment.instance-id", "Values": [run_template(ec2)["InstanceId"]]}]
    (interface,) = ec2.describe_network_interfaces(Filters=which)["NetworkInterfaces"]
    assert interface["TagSet"] == [{"Key": "Team", "Value": "a"}]


@pytest.mark.parametrize("key", ["a/b", "a b", "..", "_index"])
def test_a_tag_that_the_metadata_service_cannot_show_fails_the_launch_where_it_shall(ec2: Any, key: str) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": "a"}]}]
    make_template(ec2, TagSpecifications=tags, MetadataOptions={"InstanceMetadataTags": "enabled"})
    with refused("InvalidParameterValue", "is not a valid tag key"):
        run_template(ec2)
    assert run_template(ec2, MetadataOptions={"InstanceMetadataTags": "disabled"})["InstanceId"]


def test_the_default_key_is_awss_own_until_another_is_chosen(cloud: Cloud, ec2: Any) -> None:
    own, kms = "alias/aws/ebs", cloud.client("kms")
    assert ec2.get_ebs_default_kms_key_id()["KmsKeyId"] == own
    snapshots = {s["SnapshotId"]: s for s in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    key = kms.describe_key(KeyId=snapshots["snap-010ca1c10d000a001"]["KmsKeyId"])["KeyMetadata"]
    assert (key["KeyManager"], key["Arn"]) == ("AWS", kms.describe_key(KeyId=own)["KeyMetadata"]["Arn"])
    assert ec2.get_ebs_default_kms_key_id()["KmsKeyId"] == own
    chosen = kms.create_key()["KeyMetadata"]["Arn"]
    ec2.modify_ebs_default_kms_key_id(KmsKeyId=chosen)
    assert ec2.get_ebs_default_kms_key_id()["KmsKeyId"] == chosen
    assert ec2.reset_ebs_default_kms_key_id()["KmsKeyId"] == own
