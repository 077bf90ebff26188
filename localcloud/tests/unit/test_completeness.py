"""What other clients of AWS ask for, and how AWS answers: each test names where that was read or seen.

``make peers`` runs such clients themselves (docs/peers.md).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from localcloud.testing import Cloud
from unit.resources import IMAGE, SUBNETS, described, make_group, make_template, refused

VPC = "vpc-010ca1c10d0000001"
ED25519 = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKKp2kZAE0zYxmIH77rwNoZDnP54eqP3X3woqWHwozcG me"


def document(version: str | None = "2012-10-17", **statement: Any) -> str:
    """A policy document."""
    one = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **statement}
    return json.dumps({"Statement": [one]} | ({"Version": version} if version else {}))


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


@pytest.fixture
def iam(cloud: Cloud) -> Any:
    """An IAM client with a role, ``worker``."""
    client = cloud.client("iam")
    client.create_role(
        RoleName="worker", AssumeRolePolicyDocument=TRUST, Description="works", MaxSessionDuration=7200, Path="/fleet/"
    )
    return client


# --- Auto Scaling -----------------------------------------------------------------------------------------------------

DEFAULTS: dict[str, Any] = {
    "AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-best-effort"},
    "AvailabilityZoneImpairmentPolicy": {
        "ZonalShiftEnabled": False,
        "ImpairedZoneHealthCheckBehavior": "IgnoreUnhealthy",
    },
    "CapacityReservationSpecification": {"CapacityReservationPreference": "default"},
}


def test_a_group_takes_the_values_that_mean_the_default_and_shows_them(cloud: Cloud) -> None:
    """Terraform's aws_autoscaling_group writes back what it has read (its provider 5.100), with an empty Context."""
    autoscaling = make_group(cloud, **DEFAULTS, Context="", DesiredCapacityType="units", SkipZonalShiftValidation=False)
    autoscaling.update_auto_scaling_group(AutoScalingGroupName="fleet", MaxSize=5, **DEFAULTS, Context="")
    group = described(autoscaling)
    assert group["MaxSize"] == 5
    assert {name: group[name] for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AvailabilityZoneDistribution", {"CapacityDistributionStrategy": "balanced-only"}),
        ("AvailabilityZoneImpairmentPolicy", {"ZonalShiftEnabled": True}),
        ("CapacityReservationSpecification", {"CapacityReservationPreference": "capacity-reservations-only"}),
        ("Context", "mine"),
    ],
)
def test_any_other_value_is_refused_by_name(cloud: Cloud, name: str, value: Any) -> None:
    autoscaling = make_group(cloud)
    with refused("ValidationError", f"localcloud does not model {name}"):
        autoscaling.update_auto_scaling_group(AutoScalingGroupName="fleet", **{name: value})


def test_unknown_refresh_ids_give_an_empty_list(cloud: Cloud) -> None:
    """API, DescribeInstanceRefreshes: ids that are not there are no error."""
    autoscaling = make_group(cloud)
    answer = autoscaling.describe_instance_refreshes(AutoScalingGroupName="fleet", InstanceRefreshIds=["missing"])
    assert answer["InstanceRefreshes"] == []


def test_a_group_whose_template_was_given_without_a_version_shows_none_and_launches_the_default(cloud: Cloud) -> None:
    """moto's test_create_auto_scaling_from_template_version__no_version, verified on AWS."""
    make_template(cloud.client("ec2"), "workers")
    autoscaling = make_group(cloud, template={"LaunchTemplateName": "workers"}, MinSize=1)
    group = described(autoscaling)
    assert "Version" not in group["LaunchTemplate"]
    assert group["Instances"][0]["LaunchTemplate"]["Version"] == "1"


def test_a_template_without_a_name_and_an_unknown_group_are_refused_in_awss_words(cloud: Cloud) -> None:
    """moto's test_create_autoscaling_group_no_template_ref and test_update_unknown_group, verified on AWS."""
    with refused("ValidationError", "Valid requests must contain either launchTemplateId or LaunchTemplateName$"):
        make_group(cloud, template={"Version": "1"})
    with refused("ValidationError", "AutoScalingGroup name not found - null$"):
        cloud.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="missing", MaxSize=1)


# --- EC2 --------------------------------------------------------------------------------------------------------------


def test_a_vpc_is_deleted_with_its_default_group_unless_something_is_in_it(ec2: Any) -> None:
    """EC2 API, DeleteVpc; and Terraform's destroy of an aws_vpc."""
    vpc = ec2.create_vpc(CidrBlock="10.3.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="mine", Description="mine", VpcId=vpc)["GroupId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    with refused("DependencyViolation", f"The vpc '{vpc}' has dependencies and cannot be deleted"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.delete_security_group(GroupId=group)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_vpc(VpcId=vpc)
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    assert ec2.describe_security_groups(Filters=here)["SecurityGroups"] == []
    assert ec2.describe_network_acls(Filters=here)["NetworkAcls"] == []
    with refused("InvalidVpcID.NotFound"):
        ec2.delete_vpc(VpcId=vpc)


def test_an_instance_without_groups_has_the_default_one_of_its_vpc(ec2: Any) -> None:
    """EC2 API, RunInstances, SecurityGroupId."""
    ran = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]
    default = [{"GroupId": "sg-010ca1c10d0000001", "GroupName": "default"}]
    assert (ran["SecurityGroups"], ran["NetworkInterfaces"][0]["Groups"]) == (default, default)


def test_only_default_subnets_give_public_addresses(ec2: Any) -> None:
    """EC2 VPC UG, "Default VPCs": a default subnet is public, others are not; a call may say otherwise."""
    parameters = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    elsewhere = "subnet-010ca1c10d00000c3"
    private = {"DeviceIndex": 0, "SubnetId": SUBNETS[0], "AssociatePublicIpAddress": False}
    public = [
        "PublicIpAddress"
        in ec2.describe_instances(InstanceIds=[made["Instances"][0]["InstanceId"]])["Reservations"][0]["Instances"][0]
        for made in (
            ec2.run_instances(**parameters),
            ec2.run_instances(**parameters, SubnetId=elsewhere),
            ec2.run_instances(**parameters, NetworkInterfaces=[private]),
        )
    ]
    assert public == [True, False, False]


def test_an_address_says_what_it_belongs_to(ec2: Any) -> None:
    """EC2 API, AllocateAddress; aws-cli's examples of it."""
    made = ec2.allocate_address(Domain="vpc")
    assert (made["NetworkBorderGroup"], made["PublicIpv4Pool"]) == ("us-east-1", "amazon")


@pytest.mark.parametrize(("kind", "size", "iops"), [("gp2", 80, 240), ("gp2", 8, 100), ("gp3", 80, 3000)])
def test_a_volume_shows_the_operations_that_its_type_has(ec2: Any, kind: str, size: int, iops: int) -> None:
    """EBS UG, "General Purpose SSD volumes"; aws-cli's example of create-volume."""
    made = ec2.create_volume(AvailabilityZone="us-east-1a", Size=size, VolumeType=kind)
    assert (made["Iops"], made["SnapshotId"]) == (iops, "")
    assert ec2.describe_volumes(VolumeIds=[made["VolumeId"]])["Volumes"][0]["Iops"] == iops


def test_a_volume_is_detached_from_the_instance_that_has_it_but_no_root_at_work(ec2: Any) -> None:
    """EC2 API, DetachVolume: InstanceId is needed for Multi-Attach volumes only; EBS UG, "Detach an EBS volume"."""
    ran = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=8)["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=ran["InstanceId"], Device="/dev/sdf")
    assert ec2.detach_volume(VolumeId=volume)["InstanceId"] == ran["InstanceId"]
    with refused("IncorrectState"):
        ec2.detach_volume(VolumeId=volume)
    shown = ec2.describe_instances(InstanceIds=[ran["InstanceId"]])["Reservations"][0]["Instances"][0]
    root = shown["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    with refused("OperationNotPermitted", "Unable to detach root volume"):
        ec2.detach_volume(VolumeId=root)
    ec2.stop_instances(InstanceIds=[ran["InstanceId"]])
    assert ec2.detach_volume(VolumeId=root)["Device"] == shown["RootDeviceName"]


def test_an_unknown_profile_is_refused_as_at_a_launch(ec2: Any) -> None:
    ran = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]
    with refused("InvalidParameterValue", ".*Invalid IAM Instance Profile name"):
        ec2.associate_iam_instance_profile(InstanceId=ran["InstanceId"], IamInstanceProfile={"Name": "missing"})


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_rules_of_a_protocol_by_number_have_no_ports(ec2: Any, direction: str) -> None:
    """EC2 API, IpPermission, IpProtocol: for GRE (47), ESP (50) and others traffic on all ports is allowed."""
    group = ec2.create_security_group(GroupName="tunnels", Description="tunnels", VpcId=VPC)["GroupId"]
    add, revoke = (getattr(ec2, f"{verb}_security_group_{direction}") for verb in ("authorize", "revoke"))
    gre = {"IpProtocol": "47", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    esp = {**gre, "IpProtocol": "50", "FromPort": 0, "ToPort": 0}
    made = add(GroupId=group, IpPermissions=[gre, esp])["SecurityGroupRules"]
    assert [rule["IpProtocol"] for rule in made] == ["47", "50"]
    shown = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    rules = shown["IpPermissions" if direction == "ingress" else "IpPermissionsEgress"][-2:]
    assert [(rule["IpProtocol"], "FromPort" in rule, "ToPort" in rule) for rule in rules] == [
        ("47", False, False),
        ("50", False, False),
    ]
    revoke(GroupId=group, IpPermissions=[gre, {**esp, "FromPort": -1, "ToPort": -1}])
    with refused("InvalidPermission.NotFound"):
        revoke(GroupId=group, IpPermissions=[gre])


def test_an_unknown_protocol_and_tcp_without_ports_are_refused(ec2: Any) -> None:
    """EC2's error codes, InvalidParameterValue; derived wording."""
    group = ec2.create_security_group(GroupName="odd", Description="odd", VpcId=VPC)["GroupId"]
    for protocol, words in (("gre", "Unknown protocol"), ("tcp", "Must specify both from and to ports")):
        with refused("InvalidParameterValue", f".*{words}"):
            ec2.authorize_security_group_ingress(
                GroupId=group, IpPermissions=[{"IpProtocol": protocol, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
            )


def test_egress_over_ipv6_is_revoked_or_unknown_and_never_overlooked(ec2: Any) -> None:
    """EC2 API, RevokeSecurityGroupEgress; moto drops IPv6 ranges in a VPC without IPv6."""
    group = ec2.create_security_group(GroupName="six", Description="six", VpcId=VPC)["GroupId"]
    web = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    both = {**web, "IpRanges": [{"CidrIp": "1.0.0.0/8"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[both])
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[both])
    left = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    assert [rule["IpProtocol"] for rule in left] == ["-1"]
    with refused("InvalidPermission.NotFound"):
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[{**web, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}])


@pytest.mark.parametrize("name", ["ab", "a b", "workers!", "x" * 129])
def test_a_launch_templates_name_is_checked(ec2: Any, name: str) -> None:
    """EC2 API, CreateLaunchTemplate, LaunchTemplateName: 3 to 128 characters of a given set."""
    with refused("InvalidLaunchTemplateName.MalformedException"):
        make_template(ec2, name)


def test_wrong_calls_about_launch_templates_have_awss_words(ec2: Any) -> None:
    """moto's tests/test_ec2/test_launch_templates.py, verified on AWS."""
    id = make_template(ec2, "workers")
    with refused("InvalidLaunchTemplateName.NotFoundException", ".*At least one of the launch templates specified in"):
        ec2.describe_launch_templates(LaunchTemplateNames=["missing"])
    with refused("InvalidParameterCombination", ".*Either provide launch template ID or launch template name to"):
        ec2.modify_launch_template(LaunchTemplateName="workers", LaunchTemplateId=id, DefaultVersion="1")
    with refused("InvalidLaunchTemplateId.VersionNotFound", ".*The launch template version 2 is not found for the"):
        ec2.modify_launch_template(LaunchTemplateId=id, DefaultVersion="2")
    for code, given in (("MissingParameter", {}), ("InvalidParameterValue", {"Versions": ["1"]})):
        with refused(
            code, ".*To describe the launch template data for all your launch templates, for .--versions. specify"
        ):
            ec2.describe_launch_template_versions(**given)


def test_an_ed25519_keys_fingerprint_is_its_sha256_in_padded_base64(ec2: Any) -> None:
    """EC2 API, KeyPairInfo; two values seen on AWS are in github.com/mulgadc/spinifex/pull/571."""
    blob = base64.b64decode(ED25519.split()[1])
    expected = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    assert ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=ED25519)["KeyFingerprint"] == expected
    made = ec2.create_key_pair(KeyName="made", KeyType="ed25519")["KeyFingerprint"]
    assert (len(made), made[-1]) == (44, "=")
    assert ec2.describe_key_pairs(KeyNames=["made"])["KeyPairs"][0]["KeyFingerprint"] == made


def test_what_has_no_tags_is_described_without_them(ec2: Any, iam: Any) -> None:
    """boto3's resources have ``tags`` None for these; IAM API, GetInstanceProfile and ListInstanceProfiles."""
    vpc = ec2.create_vpc(CidrBlock="10.4.0.0/16")["Vpc"]["VpcId"]
    ec2.create_subnet(VpcId=vpc, CidrBlock="10.4.1.0/24")
    make_template(ec2)
    here = [{"Name": "vpc-id", "Values": [vpc]}]
    iam.create_instance_profile(InstanceProfileName="worker")
    for untagged in (
        *ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"],
        *ec2.describe_subnets(Filters=here)["Subnets"],
        *ec2.describe_security_groups(Filters=here)["SecurityGroups"],
        *ec2.describe_launch_templates()["LaunchTemplates"],
        iam.get_instance_profile(InstanceProfileName="worker")["InstanceProfile"],
        *iam.list_instance_profiles()["InstanceProfiles"],
    ):
        assert "Tags" not in untagged


# --- IAM --------------------------------------------------------------------------------------------------------------


def test_an_update_of_a_role_keeps_what_is_not_named(iam: Any) -> None:
    """IAM API, UpdateRole."""
    iam.update_role(RoleName="worker", Description="works on")
    iam.update_role(RoleName="worker", MaxSessionDuration=3600)
    role = iam.get_role(RoleName="worker")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("works on", 3600)


def test_ids_say_what_they_are_of(iam: Any, ec2: Any) -> None:
    """IAM UG, "IAM identifiers", unique ID prefixes; EC2 API, AssociateIamInstanceProfile."""
    profile = iam.create_instance_profile(InstanceProfileName="worker")["InstanceProfile"]["InstanceProfileId"]
    ids = {
        "AIDA": iam.create_user(UserName="valet")["User"]["UserId"],
        "AIPA": profile,
        "AGPA": iam.create_group(GroupName="operators")["Group"]["GroupId"],
        "ANPA": iam.create_policy(PolicyName="read", PolicyDocument=document())["Policy"]["PolicyId"],
        "AROA": iam.get_role(RoleName="worker")["Role"]["RoleId"],
    }
    for prefix, id in ids.items():
        assert re.fullmatch(rf"{prefix}[A-Z2-7]{{17}}", id)
    ran = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)["Instances"][0]
    made = ec2.associate_iam_instance_profile(InstanceId=ran["InstanceId"], IamInstanceProfile={"Name": "worker"})[
        "IamInstanceProfileAssociation"
    ]
    assert (made["AssociationId"][:10], made["IamInstanceProfile"]["Id"]) == ("iip-assoc-", profile)
    (shown,) = ec2.describe_instances(InstanceIds=[ran["InstanceId"]])["Reservations"][0]["Instances"]
    assert shown["IamInstanceProfile"]["Id"] == profile


def test_lists_are_limited_to_a_path(iam: Any) -> None:
    """IAM API, PathPrefix of each list."""
    iam.create_instance_profile(InstanceProfileName="worker", Path="/fleet/")
    iam.create_group(GroupName="operators", Path="/fleet/")
    arn = iam.create_policy(PolicyName="read", PolicyDocument=document(), Path="/fleet/")["Policy"]["Arn"]
    iam.attach_group_policy(GroupName="operators", PolicyArn=arn)
    iam.attach_role_policy(RoleName="worker", PolicyArn=arn)
    for path, expected in (("/fleet/", 1), ("/other/", 0)):
        found = [
            iam.list_roles(PathPrefix=path)["Roles"],
            iam.list_instance_profiles(PathPrefix=path)["InstanceProfiles"],
            iam.list_groups(PathPrefix=path)["Groups"],
            iam.list_policies(Scope="Local", PathPrefix=path)["Policies"],
            iam.list_attached_role_policies(RoleName="worker", PathPrefix=path)["AttachedPolicies"],
            iam.list_entities_for_policy(PolicyArn=arn, PathPrefix=path)["PolicyRoles"],
            iam.list_entities_for_policy(PolicyArn=arn, PathPrefix=path)["PolicyGroups"],
        ]
        assert [len(list_) for list_ in found] == [expected] * 7


def test_every_policy_of_awss_own_can_be_attached(iam: Any) -> None:
    """The list is moto's record of them; a path belongs to the ARN."""
    for arn in (
        "arn:aws:iam::aws:policy/ReadOnlyAccess",
        "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role",
    ):
        iam.attach_role_policy(RoleName="worker", PolicyArn=arn)
        policy = iam.get_policy(PolicyArn=arn)["Policy"]
        version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
        assert version["Document"]["Statement"]
    with refused("NoSuchEntity"):
        iam.attach_role_policy(RoleName="worker", PolicyArn="arn:aws:iam::aws:policy/NoSuchPolicy")


def test_an_inline_policy_may_be_of_2008_and_a_managed_one_not(iam: Any) -> None:
    """IAM UG, reference_policies_elements_version; the refusal in AWS's words (many reports of CreatePolicy)."""
    for version in ("2008-10-17", None):
        iam.put_role_policy(RoleName="worker", PolicyName="old", PolicyDocument=document(version))
        assert iam.get_role_policy(RoleName="worker", PolicyName="old")["PolicyDocument"].get("Version") == version
        with refused("MalformedPolicyDocument", ".*must be version 2012-10-17 or greater"):
            iam.create_policy(PolicyName="old", PolicyDocument=document(version))
    with refused("MalformedPolicyDocument"):
        iam.put_role_policy(RoleName="worker", PolicyName="odd", PolicyDocument=document("2020-01-01"))


# --- KMS and Secrets Manager ------------------------------------------------------------------------------------------


def test_a_key_is_the_same_by_id_and_by_arn(cloud: Cloud) -> None:
    """KMS API, KeyId of each operation; answers name the key by its ARN."""
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]
    arn = key["Arn"]
    kms.create_alias(AliasName="alias/mine", TargetKeyId=arn)
    assert kms.describe_key(KeyId="alias/mine")["KeyMetadata"]["Arn"] == arn
    kms.disable_key(KeyId=arn)
    kms.enable_key(KeyId=arn)
    kms.enable_key_rotation(KeyId=arn)
    assert kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    kms.tag_resource(KeyId=arn, Tags=[{"TagKey": "Project", "TagValue": "wekruit"}])
    assert kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == kms.list_resource_tags(KeyId=arn)["Tags"] != []
    assert kms.schedule_key_deletion(KeyId=key["KeyId"])["KeyId"] == arn
    assert kms.cancel_key_deletion(KeyId=arn)["KeyId"] == arn
    with refused("NotFoundException"):
        kms.describe_key(KeyId=arn.replace("123456789012", "999999999999"))


def test_a_keys_rotation_is_shown_with_its_period_and_a_symmetric_key_has_no_public_one(cloud: Cloud) -> None:
    """KMS API, GetKeyRotationStatus and GetPublicKey; aws-cli's examples of both."""
    kms = cloud.client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    status = kms.get_key_rotation_status(KeyId=arn)
    assert (status["KeyId"], status["KeyRotationEnabled"], "RotationPeriodInDays" in status) == (arn, False, False)
    for given, expected in (({}, 365), ({"RotationPeriodInDays": 180}, 180)):
        kms.enable_key_rotation(KeyId=arn, **given)
        status = kms.get_key_rotation_status(KeyId=arn)
        assert status["RotationPeriodInDays"] == expected
        assert timedelta(days=expected - 1) < status["NextRotationDate"] - datetime.now(UTC) <= timedelta(days=expected)
    with refused("UnsupportedOperationException"):
        kms.get_public_key(KeyId=arn)


def test_a_data_key_names_the_material_of_its_key(cloud: Cloud) -> None:
    """KMS API, GenerateDataKey, KeyMaterialId: 64 hexadecimal digits."""
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    whole = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["KeyMaterialId"]
    assert kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")["KeyMaterialId"] == whole
    assert re.fullmatch("[0-9a-f]{64}", whole)


def test_every_list_says_whether_it_goes_on(cloud: Cloud, iam: Any) -> None:
    """IAM API, IsTruncated, and KMS API, Truncated, of each list; botocore's model names them."""
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    assert kms.list_resource_tags(KeyId=key)["Truncated"] is False
    assert kms.list_key_rotations(KeyId=key)["Truncated"] is False
    assert iam.list_groups()["IsTruncated"] is False
    assert iam.list_entities_for_policy(PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")["IsTruncated"] is False


def test_a_services_own_key_is_awss(cloud: Cloud) -> None:
    """KMS API, KeyMetadata, KeyManager."""
    assert cloud.client("kms").describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]["KeyManager"] == "AWS"


def test_a_secret_shows_the_day_when_it_was_read(cloud: Cloud) -> None:
    """Secrets Manager API, DescribeSecret, LastAccessedDate: omitted before, and without a time of day."""
    secrets = cloud.client("secretsmanager")
    secrets.create_secret(Name="worker/env", SecretString="s3cret")
    assert "LastAccessedDate" not in secrets.describe_secret(SecretId="worker/env")
    secrets.get_secret_value(SecretId="worker/env")
    shown = [
        secrets.describe_secret(SecretId="worker/env")["LastAccessedDate"],
        secrets.list_secrets()["SecretList"][0]["LastAccessedDate"],
        secrets.list_secret_version_ids(SecretId="worker/env")["Versions"][0]["LastAccessedDate"],
    ]
    now = datetime.now(UTC)
    for day in shown:
        assert (day.hour, day.minute, day.second) == (0, 0, 0)
        assert now - day < timedelta(days=2)


def test_amazons_parameters_name_an_image_that_is_here(cloud: Cloud) -> None:
    """EC2 UG, "Reference AMIs using Systems Manager parameters": how moto's tests find an image on AWS."""
    ssm, ec2 = cloud.client("ssm"), cloud.client("ec2")
    for machine, image in (("x86_64", "ami-0137112412989a002"), ("arm64", "ami-0137112412989a003")):
        name = f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-{machine}"
        assert ssm.get_parameters(Names=[name])["Parameters"][0]["Value"] == image
        assert ec2.describe_images(ImageIds=[image])["Images"][0]["Architecture"] == machine


# --- the server -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "operation", "shown"),
    [
        ("pricing", "describe_services", "DescribeServices of pricing"),
        ("chime", "list_accounts", "ListAccounts of chime"),
        ("lambda", "list_code_signing_configs", "ListCodeSigningConfigs of lambda"),
        ("ec2", "describe_ipams", "DescribeIpams of ec2"),
    ],
)
def test_what_is_not_modelled_is_refused_by_name(cloud: Cloud, service: str, operation: str, shown: str) -> None:
    with refused("InvalidAction", f".*: localcloud does not model {shown}$"):
        getattr(cloud.client(service), operation)()


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        ("ec2", "delete_transit_gateway", {"TransitGatewayId": "tgw-1"}, "InvalidTransitGatewayID.NotFound"),
        ("ec2", "release_hosts", {"HostIds": ["h-1"]}, "InvalidHostID.NotFound"),
        ("ec2", "copy_image", {"Name": "copy", "SourceImageId": IMAGE, "SourceRegion": "xx"}, "InvalidParameterValue"),
        ("ec2", "delete_managed_prefix_list", {"PrefixListId": "pl-1"}, "InvalidPrefixListID.NotFound"),
        ("ec2", "modify_managed_prefix_list", {"PrefixListId": "pl-1"}, "InvalidPrefixListID.NotFound"),
        ("ec2", "delete_nat_gateway", {"NatGatewayId": "nat-1"}, "NatGatewayNotFound"),
        (
            "ec2",
            "replace_network_acl_association",
            {"AssociationId": "aclassoc-1", "NetworkAclId": "acl-1"},
            "InvalidAssociationID.NotFound",
        ),
        ("kms", "revoke_grant", {"KeyId": "missing", "GrantId": "mine"}, "NotFoundException"),
        ("logs", "get_query_results", {"queryId": "missing"}, "ResourceNotFoundException"),
    ],
)
def test_what_is_not_there_is_the_callers_error_in_every_service(
    cloud: Cloud, service: str, operation: str, parameters: dict[str, Any], code: str
) -> None:
    """Each API's reference, "Errors": AWS never fails because of what a caller names; moto does."""
    with refused(code):
        getattr(cloud.client(service), operation)(**parameters)


def test_a_call_that_moto_cannot_answer_is_refused_by_name_with_the_reason(cloud: Cloud) -> None:
    with refused("InvalidAction", ".*: localcloud does not model this call of StartQuery of logs .TypeError: .*"):
        cloud.client("logs").start_query(startTime=1, endTime=2, queryString="fields @message")


@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/", "/latest/meta-data/instance-id"])
def test_motos_own_controls_are_not_there(cloud: Cloud, path: str) -> None:
    """They would reset moto behind the world's back: its machines would stay."""
    with pytest.raises(urllib.error.HTTPError, match="404") as missing:
        urllib.request.urlopen(urllib.request.Request(cloud.url + path, method="POST"))
    assert "POST /localcloud/reset" in missing.value.read().decode()
    assert cloud.client("ec2").describe_subnets(SubnetIds=[SUBNETS[0]])["Subnets"]
