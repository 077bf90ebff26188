"""As strict as AWS: what takes effect later, what a new account lacks, what keys and volumes refuse. No test waits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config
from localcloud.iam.propagation import Propagation
from localcloud.strictness import Strictness
from localcloud.testing import Cloud
from unit.resources import IMAGE, SUBNETS, make_template, refused

from localcloud import imds

ACCOUNT = "123456789012"
LAUNCHER = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
EC2_TRUST = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
READ = {"Effect": "Allow", "Action": "ec2:DescribeVpcs", "Resource": "*"}
ONCE = Config(retries={"total_max_attempts": 1})
#: Longer than any change takes.
LONG = 16


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


# --- changes of IAM --------------------------------------------------------------------------------------------------


def test_a_change_takes_effect_after_its_delay_and_never_before_an_earlier_one() -> None:
    delays = iter([10.0, 1.0])
    changes = Propagation[str]()
    changes.note({"a": "first"}, 0, lambda: next(delays))
    changes.note({"a": "second"}, 2, lambda: next(delays))
    assert [changes.effective("a", "second", at) for at in (0, 9)] == [None, None]
    assert changes.effective("a", "second", 10) == "second"


def test_facts_that_no_change_was_noted_of_are_in_effect_and_deleted_ones_are_forgotten() -> None:
    changes = Propagation[str]()
    assert changes.effective("a", "written", 0) == "written"
    changes.note({"a": "x"}, 0, lambda: 5)
    changes.note({}, 1, lambda: 5)
    changes.note({"a": "anew"}, 2, lambda: 5)
    assert (changes.effective("a", "anew", 6), changes.effective("a", "anew", 7)) == (None, "anew")


def test_random_changes_take_effect_in_order_and_all_in_the_end() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    changes, now = Propagation[int](), 0.0
    seen = -1
    for number in range(200):
        now += dice.uniform(0, 6)
        changes.note({"a": number}, now, lambda: dice.uniform(0, 15))
        value = changes.effective("a", number, now)
        assert value is None or seen <= value <= number
        seen = -1 if value is None else value
    assert changes.effective("a", 199, now + 15) == 199


@pytest.fixture(scope="module")
def running() -> Iterator[Cloud]:
    """A strict cloud whose time stands all but still, so that only a test lets it pass, on however slow a machine."""
    with Cloud.start_thread() as cloud:
        cloud.set_speed(1e-6)
        yield cloud


@pytest.fixture
def strict(running: Cloud) -> Iterator[Cloud]:
    """A strict cloud with a fresh account, in which nothing is enforced yet."""
    running.reset()
    running.clear_trace()
    yield running
    running.enforce_iam(False)


@pytest.fixture
def as_user(strict: Cloud) -> Callable[..., Any]:
    """Makes a user with these statements, who is known and enforced, and returns how to get a client of theirs."""

    def make(*statements: dict[str, Any]) -> Callable[[str], Any]:
        iam = strict.client("iam")
        iam.create_user(UserName="someone")
        if statements:
            iam.put_user_policy(UserName="someone", PolicyName="own", PolicyDocument=document(*statements))
        key = iam.create_access_key(UserName="someone")["AccessKey"]
        strict.enforce_iam()
        pair = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        return lambda service: strict.client(service, **pair, config=ONCE)

    return make


def test_a_new_access_key_is_unknown_at_first(strict: Cloud, as_user: Callable[..., Any]) -> None:
    theirs = as_user(READ)("ec2")
    with refused("AuthFailure"):
        theirs.describe_vpcs()
    strict.advance(LONG)
    assert theirs.describe_vpcs()["Vpcs"]


@pytest.mark.parametrize("how", ["inline", "attached", "new version", "boundary"])
def test_a_policy_takes_effect_later_and_can_be_read_at_once(
    strict: Cloud, as_user: Callable[..., Any], how: str
) -> None:
    iam, allowed = strict.client("iam"), how == "boundary"
    theirs = as_user(*[READ] if allowed else [])("ec2")
    policy = document(READ if how == "attached" else {**READ, "Action": "ec2:DescribeTags"})
    arn = iam.create_policy(PolicyName="managed", PolicyDocument=policy)["Policy"]["Arn"]
    if how == "new version":
        iam.attach_user_policy(UserName="someone", PolicyArn=arn)
    strict.advance(LONG)

    def may_read() -> bool:
        if how == "boundary" and not changed:
            return bool(theirs.describe_vpcs()["Vpcs"])
        try:
            return bool(theirs.describe_vpcs()["Vpcs"])
        except theirs.exceptions.ClientError as error:
            return bool(error.response["Error"]["Code"] != "UnauthorizedOperation")

    changed = False
    assert may_read() is allowed
    match how:
        case "inline":
            iam.put_user_policy(UserName="someone", PolicyName="own", PolicyDocument=document(READ))
            assert iam.get_user_policy(UserName="someone", PolicyName="own")["PolicyDocument"]["Statement"] == [READ]
        case "attached":
            iam.attach_user_policy(UserName="someone", PolicyArn=arn)
        case "new version":
            iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(READ), SetAsDefault=True)
        case "boundary":
            iam.put_user_permissions_boundary(UserName="someone", PermissionsBoundary=arn)
    changed = True
    assert may_read() is allowed
    strict.advance(LONG)
    assert may_read() is not allowed


def make_profile(cloud: Cloud, name: str = "worker") -> None:
    iam = cloud.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(EC2_TRUST))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def group(cloud: Cloud, **options: Any) -> Any:
    template = {"LaunchTemplateName": "workers", "Version": "$Latest"}
    return cloud.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="g",
        LaunchTemplate=template,
        MinSize=0,
        MaxSize=3,
        VPCZoneIdentifier=SUBNETS[0],
        **options,
    )


def test_auto_scaling_sees_a_new_template_and_a_new_profile_some_seconds_later(strict: Cloud) -> None:
    ec2, autoscaling = strict.client("ec2"), strict.client("autoscaling")
    make_profile(strict)
    strict.advance(LONG)
    make_template(ec2, IamInstanceProfile={"Name": "worker"})
    with refused("ValidationError", "fully-formed launch template. The specified launch template, .* does not exist"):
        group(strict)
    strict.advance(3)
    group(strict)
    make_profile(strict, "other")
    data = {"ImageId": IMAGE, "InstanceType": "t3.medium", "IamInstanceProfile": {"Name": "other"}}
    ec2.create_launch_template_version(LaunchTemplateName="workers", LaunchTemplateData=data)
    update = {
        "AutoScalingGroupName": "g",
        "LaunchTemplate": {"LaunchTemplateName": "workers", "Version": "2"},
    }
    with refused("ValidationError", "iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"):
        autoscaling.update_auto_scaling_group(**update)
    strict.advance(LONG)
    autoscaling.update_auto_scaling_group(**update)


def test_a_profile_that_is_not_there_never_makes_a_group(strict: Cloud) -> None:
    make_template(strict.client("ec2"), IamInstanceProfile={"Name": "missing"})
    strict.advance(LONG)
    with refused("ValidationError", "Invalid IAM Instance Profile name"):
        group(strict)


def test_everything_takes_effect_at_once_where_that_is_wanted() -> None:
    with Cloud.start_thread(strictness=Strictness.off()) as cloud:
        make_profile(cloud)
        make_template(cloud.client("ec2"), IamInstanceProfile={"Name": "worker"})
        group(cloud, DesiredCapacity=1)
        (id,) = cloud.lifecycle_states("g")
        assert metadata(cloud, id) == "worker"
        assert {role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]} >= {"AWSServiceRoleForEC2Spot"}


# --- credentials of instances ----------------------------------------------------------------------------------------


def metadata(cloud: Cloud, instance: str, path: str = "iam/security-credentials/") -> str | int:
    """What the instance's metadata service answers: its text, or its status."""
    service = cloud.world.metadata

    def ask(method: str, where: str, **headers: str) -> imds.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = service.answer(instance, imds.Request(method, where, named))
        assert answer
        return answer

    token = ask("PUT", "/latest/api/token", **{imds.TTL_HEADER: "60"}).body.decode()
    answer = ask("GET", f"/latest/meta-data/{path}", **{imds.TOKEN_HEADER: token})
    return answer.body.decode() if answer.status == 200 else answer.status


def test_a_new_instance_has_no_credentials_for_some_seconds(strict: Cloud) -> None:
    make_profile(strict)
    strict.advance(LONG)
    made = strict.client("ec2").run_instances(
        ImageId=IMAGE,
        InstanceType="t3.medium",
        MinCount=1,
        MaxCount=1,
        SubnetId=SUBNETS[0],
        IamInstanceProfile={"Name": "worker"},
    )
    id = made["Instances"][0]["InstanceId"]
    assert [metadata(strict, id, path) for path in ("iam/security-credentials/", "iam/info")] == [404, 404]
    strict.advance(5)
    assert metadata(strict, id) == "worker"
    assert json.loads(str(metadata(strict, id, "iam/security-credentials/worker")))["Code"] == "Success"


# --- roles of services -----------------------------------------------------------------------------------------------


def linked_roles(cloud: Cloud) -> set[str]:
    return {role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]}


def test_the_first_group_makes_auto_scalings_role_and_the_first_spot_instance_spots(strict: Cloud) -> None:
    ec2 = strict.client("ec2")
    make_template(ec2)
    strict.advance(LONG)
    assert linked_roles(strict) == set()
    group(strict)
    assert linked_roles(strict) == {"AWSServiceRoleForAutoScaling"}
    assert strict.client("iam").get_role(RoleName="AWSServiceRoleForAutoScaling")["Role"]["Arn"] == LAUNCHER
    ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.medium",
        MinCount=1,
        MaxCount=1,
        SubnetId=SUBNETS[0],
        InstanceMarketOptions={"MarketType": "spot"},
    )
    assert linked_roles(strict) == {"AWSServiceRoleForAutoScaling", "AWSServiceRoleForEC2Spot"}
    with refused("InvalidInput", "AWSServiceRoleForAutoScaling has been taken in this account"):
        strict.client("iam").create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com")


def test_without_the_right_to_make_the_role_there_is_no_first_group(strict: Cloud, as_user: Callable[..., Any]) -> None:
    make_template(strict.client("ec2"))
    others = {"Effect": "Allow", "Action": ["autoscaling:*", "ec2:*"], "Resource": "*"}
    client = as_user(others)
    strict.advance(LONG)
    wanted = {
        "AutoScalingGroupName": "g",
        "LaunchTemplate": {"LaunchTemplateName": "workers"},
        "MinSize": 0,
        "MaxSize": 1,
        "VPCZoneIdentifier": SUBNETS[0],
    }
    with refused("AccessDenied", "Service-Linked Role for Auto Scaling could not be created.*iam:CreateServiceLinked"):
        client("autoscaling").create_auto_scaling_group(**wanted)
    spot = {"InstanceMarketOptions": {"MarketType": "spot"}, "SubnetId": SUBNETS[0], "InstanceType": "t3.medium"}
    with refused("AuthFailure.ServiceLinkedRoleCreationNotPermitted", "for EC2 Spot Instances"):
        client("ec2").run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, **spot)
    assert linked_roles(strict) == set()
    condition = {"StringEquals": {"iam:AWSServiceName": "autoscaling.amazonaws.com"}}
    make = {"Effect": "Allow", "Action": "iam:CreateServiceLinkedRole", "Resource": LAUNCHER, "Condition": condition}
    strict.client("iam").put_user_policy(UserName="someone", PolicyName="own", PolicyDocument=document(others, make))
    strict.advance(LONG)
    client("autoscaling").create_auto_scaling_group(**wanted)
    assert linked_roles(strict) == {"AWSServiceRoleForAutoScaling"}


# --- the policy simulator --------------------------------------------------------------------------------------------


def test_actions_that_need_different_authorization_information_are_not_simulated_together(strict: Cloud) -> None:
    iam = strict.client("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=document(EC2_TRUST))
    source = {"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:role/r"}
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:s-??????"
    pair = ["secretsmanager:GetSecretValue", "ecr:BatchGetImage"]
    words = r"Actions: \[secretsmanager:GetSecretValue\] and \[ecr:BatchGetImage\] require different authorization inf"
    with refused("InvalidInput", words):
        iam.simulate_principal_policy(**source, ActionNames=pair, ResourceArns=[secret])
    with refused("InvalidInput"):
        iam.simulate_principal_policy(**source, ActionNames=["iam:PassRole", "sts:AssumeRole"])
    alone = iam.simulate_principal_policy(**source, ActionNames=pair[:1], ResourceArns=[secret])
    assert [result["EvalDecision"] for result in alone["EvaluationResults"]] == ["implicitDeny"]
    assert len(iam.simulate_principal_policy(**source, ActionNames=pair)["EvaluationResults"]) == 2


# --- keys ------------------------------------------------------------------------------------------------------------

OWNER = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
USE = ["Decrypt", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo", "DescribeKey", "CreateGrant"]


def launch_with(cloud: Cloud, key: str, **ebs: Any) -> dict[str, Any]:
    """The group's newest activity after it was to launch one instance whose volume has the key."""
    device = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "Encrypted": True, "KmsKeyId": key, **ebs}}
    make_template(cloud.client("ec2"), BlockDeviceMappings=[device])
    cloud.advance(LONG)
    group(cloud, DesiredCapacity=1)
    return dict(cloud.client("autoscaling").describe_scaling_activities(AutoScalingGroupName="g")["Activities"][-1])


def test_a_group_cannot_launch_with_a_key_that_does_not_let_auto_scaling_use_it(strict: Cloud) -> None:
    key = strict.client("kms").create_key(Policy=document(OWNER))["KeyMetadata"]["Arn"]
    activity = launch_with(strict, key)
    assert activity["StatusCode"] == "Failed"
    assert "Client.InternalError: Client error on launch" in activity["StatusMessage"]
    (reservation,) = strict.client("ec2").describe_instances()["Reservations"]
    (instance,) = reservation["Instances"]
    assert (instance["State"]["Name"], instance["StateReason"]["Code"]) == ("terminated", "Client.InternalError")
    assert strict.lifecycle_states("g") == {}


@pytest.mark.parametrize("by", ["grant", "policy"])
def test_a_grant_or_a_policy_for_auto_scalings_role_lets_it_launch(strict: Cloud, by: str) -> None:
    kms = strict.client("kms")
    named = {
        **OWNER,
        "Principal": {"AWS": LAUNCHER},
        "Action": ["kms:*crypt*", "kms:Gen*", "kms:De*", "kms:CreateGrant"],
    }
    key = kms.create_key(Policy=document(OWNER, *[named] if by == "policy" else []))["KeyMetadata"]["Arn"]
    if by == "grant":
        kms.create_grant(KeyId=key, GranteePrincipal=LAUNCHER, Operations=USE)
    assert launch_with(strict, key)["StatusCode"] == "Successful"


def test_a_grant_that_lacks_an_operation_or_a_policy_that_denies_lets_nothing_launch(strict: Cloud) -> None:
    kms = strict.client("kms")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "kms:CreateGrant", "Resource": "*"}
    key = kms.create_key(Policy=document(OWNER, deny))["KeyMetadata"]["Arn"]
    kms.create_grant(KeyId=key, GranteePrincipal=LAUNCHER, Operations=USE)
    assert launch_with(strict, key)["StatusCode"] == "Failed"
    strict.reset()
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_grant(KeyId=key, GranteePrincipal=LAUNCHER, Operations=USE[:-1])
    assert launch_with(strict, key)["StatusCode"] == "Failed"


def test_a_disabled_key_ends_the_instance_with_a_reason_of_its_own(strict: Cloud) -> None:
    kms = strict.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_grant(KeyId=key, GranteePrincipal=LAUNCHER, Operations=USE)
    kms.disable_key(KeyId=key.rpartition("/")[2])
    assert "Client.InvalidKMSKey.InvalidState" in launch_with(strict, key)["StatusMessage"]


def test_the_keys_of_the_images_snapshots_and_the_accounts_default_are_asked_too(strict: Cloud) -> None:
    ec2 = strict.client("ec2")
    key = strict.client("kms").create_key()["KeyMetadata"]["Arn"]
    copied = ec2.copy_image(Name="copy", SourceImageId=IMAGE, SourceRegion="us-east-1", Encrypted=True, KmsKeyId=key)[
        "ImageId"
    ]
    make_template(ec2, ImageId=copied)
    strict.advance(LONG)
    group(strict, DesiredCapacity=1)
    autoscaling = strict.client("autoscaling")
    (activity,) = autoscaling.describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
    assert activity["StatusCode"] == "Failed"
    strict.reset()
    ec2.modify_ebs_default_kms_key_id(KmsKeyId=strict.client("kms").create_key()["KeyMetadata"]["Arn"])
    plain = "ami-0137112412989a001"
    make_template(ec2, ImageId=plain, BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True}}])
    strict.advance(LONG)
    group(strict, DesiredCapacity=1)
    (activity,) = autoscaling.describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
    assert activity["StatusCode"] == "Failed"


def test_the_value_of_a_secret_under_a_customers_key_needs_the_key(strict: Cloud, as_user: Callable[..., Any]) -> None:
    read = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    kms, secrets = strict.client("kms"), as_user(read)("secretsmanager")
    someone = {**OWNER, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/someone"}, "Action": "kms:Decrypt"}
    through = {"StringEquals": {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"}}
    own = kms.create_key(Policy=document(OWNER, {**someone, "Condition": through}))["KeyMetadata"]["Arn"]
    other = kms.create_key(Policy=document(OWNER))["KeyMetadata"]["Arn"]
    for name, key in (("own", own), ("other", other)):
        strict.client("secretsmanager").create_secret(Name=name, SecretString="{}", KmsKeyId=key)
    strict.advance(LONG)
    assert secrets.get_secret_value(SecretId="own")["SecretString"] == "{}"
    with refused("AccessDeniedException", "kms:Decrypt"):
        secrets.get_secret_value(SecretId="other")
    kms.create_grant(KeyId=other, GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:user/someone", Operations=["Decrypt"])
    assert secrets.get_secret_value(SecretId="other")["SecretString"] == "{}"


# --- volumes ---------------------------------------------------------------------------------------------------------


def run(ec2: Any, **device: Any) -> Any:
    """Launch one instance from a template with this device."""
    data = {"ImageId": IMAGE, "InstanceType": "t3.medium", "BlockDeviceMappings": [device]}
    made = ec2.create_launch_template(LaunchTemplateName=f"lt{random.randrange(2**32)}", LaunchTemplateData=data)
    template = {"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"]}
    return ec2.run_instances(LaunchTemplate=template, MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])["Instances"][0]


@pytest.mark.parametrize(
    ("ebs", "words"),
    [
        ({"VolumeSize": 7}, "InvalidBlockDeviceMapping: Volume of size 7GB is smaller than snapshot"),
        ({"VolumeType": "io1"}, "InvalidParameterCombination: The parameter iops must be specified for io1 volumes"),
        ({"VolumeType": "io2"}, "InvalidParameterCombination: The parameter iops must be specified for io2 volumes"),
        (
            {"VolumeType": "gp2", "Iops": 3000},
            "InvalidParameterCombination: The parameter iops is not supported for gp2",
        ),
        ({"VolumeType": "gp2", "Throughput": 125}, "InvalidParameterCombination: The parameter throughput is not"),
    ],
)
def test_a_volume_that_cannot_be_is_refused(strict: Cloud, ebs: Any, words: str) -> None:
    code, _, words = words.partition(": ")
    ec2 = strict.client("ec2")
    with refused(code, words):
        run(ec2, DeviceName="/dev/xvda", Ebs={"VolumeSize": 8, **ebs})
    assert ec2.describe_instances()["Reservations"] == []


def test_a_volume_has_the_iops_and_throughput_that_were_asked_for(strict: Cloud) -> None:
    ec2 = strict.client("ec2")
    for ebs in ({"VolumeType": "io2", "Iops": 200}, {"VolumeType": "gp3", "Iops": 4000, "Throughput": 250}):
        instance = run(ec2, DeviceName="/dev/xvda", Ebs={"VolumeSize": 8, **ebs})
        which = [{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}]
        (volume,) = ec2.describe_volumes(Filters=which)["Volumes"]
        assert ebs.items() <= volume.items()


def test_a_device_that_is_not_the_images_root_is_a_second_disk(strict: Cloud) -> None:
    ec2 = strict.client("ec2")
    instance = run(ec2, DeviceName="/dev/sda1", Ebs={"VolumeSize": 40})
    volumes = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance["InstanceId"]]}])
    assert sorted(volume["Size"] for volume in volumes["Volumes"]) == [8, 40]


def test_a_group_refuses_a_template_without_iops_and_fails_to_launch_what_is_too_small(strict: Cloud) -> None:
    ec2 = strict.client("ec2")
    device = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "io2", "VolumeSize": 40}}
    make_template(ec2, BlockDeviceMappings=[device])
    strict.advance(LONG)
    with refused("ValidationError", "fully-formed launch template. The parameter iops must be specified for io2"):
        group(strict)
    small = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 7}}
    data = {"ImageId": IMAGE, "InstanceType": "t3.medium", "BlockDeviceMappings": [small]}
    ec2.create_launch_template_version(LaunchTemplateName="workers", LaunchTemplateData=data)
    group(strict, DesiredCapacity=1)
    found = strict.client("autoscaling").describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
    assert found[0]["StatusMessage"].endswith("expect size >= 8GB. Launching EC2 instance failed.")
