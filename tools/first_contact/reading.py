"""Probes of the account: what it has and answers, and what AWS refuses. Nothing is left by any of them."""

from __future__ import annotations

import contextlib
import json
import re
from functools import partial
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.settings import GP3_THROUGHPUT, IOPS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import prices
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from tools.first_contact.account import Account, code, text
from tools.first_contact.probe import Answer, NotLookedAt, judged, probe

#: What Amazon publishes as its newest image (AL2023 User Guide, "Launching AL2023 using the SSM parameter").
IMAGE_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64"
#: Of several services, and of actions that need different authorization information.
MIXED = (
    "autoscaling:CreateAutoScalingGroup ec2:RunInstances iam:PassRole iam:CreateServiceLinkedRole "
    "secretsmanager:GetSecretValue kms:Decrypt s3:PutObject"
).split()


@probe(
    "default-ebs-key",
    claim="The account's default EBS key is alias/aws/ebs, or a key that GetEbsDefaultKmsKeyId names by ARN or ID.",
    source="EC2 API Reference, GetEbsDefaultKmsKeyId",
    actions="ec2:GetEbsDefaultKmsKeyId ec2:GetEbsEncryptionByDefault kms:DescribeKey",
)
def default_ebs_key(account: Account) -> Answer:
    """`fleet_volume_encrypted` without a key, and every image that Packer encrypts, use it."""
    ec2 = account.client("ec2")
    key = str(ec2.get_ebs_default_kms_key_id()["KmsKeyId"])
    always = bool(ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"])
    manager = ""
    with contextlib.suppress(ClientError):  # no volume was ever encrypted here
        manager = str(account.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyManager"])
    ok = bool(re.fullmatch(r"alias/aws/ebs|arn:aws[\w-]*:kms:.+:key/.+|[0-9a-f-]{36}", key))
    return judged(ok, f"{key}, of {manager or 'nobody yet'}", manager=manager, encryption_by_default=always)


@probe(
    "source-image",
    claim="Packer's filter finds Amazon's newest image: root device /dev/xvda, gp3, at most 8 GiB.",
    source="packer/source.pkr.hcl; AL2023 User Guide",
    actions="ec2:DescribeImages ssm:GetParameter",
)
def source_image(account: Account) -> Answer:
    """The image, and whether the public parameter names the same one."""
    image = account.newest_image
    root = image["RootDeviceName"]
    (ebs,) = [m["Ebs"] for m in image["BlockDeviceMappings"] if m["DeviceName"] == root and "Ebs" in m]
    seen = f"{image['Name']}: {root}, {ebs.get('VolumeType', '')}, {ebs['VolumeSize']} GiB"
    parameter = ""
    with contextlib.suppress(ClientError):
        parameter = str(account.client("ssm").get_parameter(Name=IMAGE_PARAMETER)["Parameter"]["Value"])
    ok = root == "/dev/xvda" and ebs.get("VolumeType") == "gp3" and ebs["VolumeSize"] <= 8
    return judged(
        ok, seen, name=image["Name"], imds=image.get("ImdsSupport", ""), parameter_agrees=parameter == image["ImageId"]
    )


@probe(
    "simulate-mixed",
    claim="SimulatePrincipalPolicy refuses actions of several services at once with InvalidInput.",
    source='IAM API Reference, SimulatePrincipalPolicy ("require different authorization information")',
    actions="iam:SimulatePrincipalPolicy iam:GetRole sts:GetCallerIdentity",
)
def simulate_mixed(account: Account) -> Answer:
    """Preflight asks by service and splits on a refusal; if AWS never refuses, it could ask once."""
    arn = str(account.caller["Arn"])
    if ":root" in arn:
        raise NotLookedAt("the caller is the account's root user, whom no policy limits")
    if ":assumed-role/" in arn:
        arn = str(account.client("iam").get_role(RoleName=arn.split("/")[1])["Role"]["Arn"])
    simulate = account.client("iam").simulate_principal_policy
    try:
        simulate(PolicySourceArn=arn, ActionNames=MIXED)
    except ClientError as error:
        if code(error) != "InvalidInput":
            raise
        return judged(True, text(error))
    return judged(False, f"{len(MIXED)} actions of six services were answered at once")


@probe(
    "volume-limits",
    claim=f"EBS refuses more than {', '.join(f'{most:,} IOPS ({kind})' for kind, (_, most, _) in IOPS.items())}"
    f" and more than {GP3_THROUGHPUT[1]:,} MiB/s.",
    source="EBS User Guide, volume types, from memory (plugins/module_utils/_fleet/checks/settings.py)",
    actions="ec2:CreateVolume ec2:DeleteVolume ec2:DescribeAvailabilityZones ec2:CreateTags",
    writes=True,
    dollars=0.05,
)
def volume_limits(account: Account) -> Answer:
    """One more than each limit is asked for. What AWS makes all the same is deleted at once, billed for a minute."""
    ec2 = account.client("ec2")
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    asked: dict[str, dict[str, Any]] = {
        kind: {"VolumeType": kind, "Iops": most + 1, "Size": -(-most // each) + 1}
        for kind, (_least, most, each) in IOPS.items()
    }
    asked["throughput"] = {"VolumeType": "gp3", "Iops": 16000, "Throughput": GP3_THROUGHPUT[1] + 1, "Size": 100}
    said = dict[str, str]()
    for kind, options in asked.items():
        try:
            volume = ec2.create_volume(
                AvailabilityZone=zone, TagSpecifications=account.specification("volume"), **options
            )["VolumeId"]
        except ClientError as error:
            if not code(error).startswith("InvalidParameter"):  # a permission, or a quota of the account
                raise NotLookedAt(f"{kind}: {text(error)}") from None
            said[kind] = text(error)
        else:
            account.will_delete(f"volume {volume}", partial(ec2.delete_volume, VolumeId=volume))
            said[kind] = "made"
    limits = {kind: [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", words)] for kind, words in said.items()}
    wanted = {kind: most for kind, (_, most, _) in IOPS.items()} | {"throughput": GP3_THROUGHPUT[1]}
    higher = [kind for kind, words in said.items() if words == "made"]
    unclear = [kind for kind, most in wanted.items() if kind not in higher and most not in limits[kind]]
    seen = f"more was made: {', '.join(higher)}" if higher else "each was refused"
    if unclear:
        seen += f"; another number in the refusal of {', '.join(unclear)}"
    return judged(not higher and not unclear, seen, **said)


@probe(
    "prices",
    claim=f"us-east-1: t3.large {prices.AMERICA['t3.large']} USD/h, gp3 {prices.GIB_MONTHLY['gp3']} USD/GiB-month.",
    source="plugins/module_utils/_fleet/facts/prices.py, of " + prices.AS_OF,
    actions="pricing:GetProducts",
)
def public_prices(account: Account) -> Answer:
    """What status.yml shows as costs."""
    wanted = {
        "t3.large": (prices.AMERICA["t3.large"], {"instanceType": "t3.large", "operatingSystem": "Linux"}),
        "gp3": (prices.GIB_MONTHLY["gp3"], {"volumeApiName": "gp3", "productFamily": "Storage"}),
    }
    found = dict[str, float]()
    for name, (_price, attributes) in wanted.items():
        more = {"tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"} if "t3" in name else {}
        filters = [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in {"regionCode": "us-east-1", **attributes, **more}.items()
        ]
        try:
            pages = account.client("pricing", region="us-east-1", retries=1)
            listed = [
                json.loads(one) for one in pages.get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]
            ]
        except (ClientError, EndpointConnectionError, BotoCoreError) as error:
            raise NotLookedAt(f"the price list does not answer: {error}") from None
        terms = [term for one in listed for term in one.get("terms", {}).get("OnDemand", {}).values()]
        dollars = [float(d["pricePerUnit"]["USD"]) for term in terms for d in term["priceDimensions"].values()]
        if not dollars:
            raise NotLookedAt(f"the price list has no {name} in us-east-1")
        found[name] = max(dollars)
    return judged(all(found[name] == price for name, (price, _) in wanted.items()), str(found), **found)
