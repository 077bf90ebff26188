"""Building an image on localcloud: the image, its tags, and what is left."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from localcloud import seed
from tests.image import template
from tests.image.booted import boot
from tests.image.cloud import ImageCloud
from tests.image.conftest import ROOT, Packer

SOURCE = "ami-0137112412989a002"
REVISION = "0" * 40
#: Time of all API calls of one build; 0.4 s is usual, the rest of a build is waiting and the play.
CLOUD_SECONDS = 5.0


def tags_of(described: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in described["Tags"]}


def remove(cloud: ImageCloud, image_id: str, region: str = seed.REGION) -> None:
    """Delete an image and its snapshot."""
    ec2 = cloud.client("ec2", region)
    snapshot = cloud.image(image_id, region)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    ec2.deregister_image(ImageId=image_id)
    ec2.delete_snapshot(SnapshotId=snapshot)


def test_a_build_leaves_a_tagged_image_that_boots_and_nothing_else(
    packer: Packer, cloud: ImageCloud, new_resources: Callable[[], set[str]]
) -> None:
    cloud.clear_trace()
    outcome = packer.build(f"git_revision={REVISION}")
    assert outcome.code == 0, outcome.output
    made = cloud.calls()
    spent = sum(call["ms"] for call in made) / 1000
    actions = dict(Counter(call["action"] for call in made))
    print(f"{outcome.seconds:.1f} s, of which {len(made)} calls took {spent:.2f} s: {actions}")
    assert [call for call in made if call["error"]] == []
    assert spent < CLOUD_SECONDS
    (image_id,) = outcome.images.values()
    image = cloud.image(image_id)
    ebs = image["BlockDeviceMappings"][0]["Ebs"]
    assert new_resources() == {image_id, ebs["SnapshotId"]}
    assert (image["Architecture"], image["RootDeviceName"], ebs["VolumeSize"], ebs["VolumeType"], ebs["Encrypted"]) == (
        "x86_64",
        "/dev/xvda",
        40,
        "gp3",
        True,
    )
    lineage = {
        "Name": "gh-worker-golden",
        "Project": "wekruit",
        "ghosthands:agent-schema": "4",
        "ghosthands:git-revision": REVISION,
        "ghosthands:compose-version": "2.40.3",
        "ghosthands:worker-image": "none",
        "ghosthands:source-image": SOURCE,
        "ghosthands:source-name": "al2023-ami-2023.9.20260201.0-kernel-6.1-x86_64",
    }
    snapshot = cloud.client("ec2").describe_snapshots(SnapshotIds=[ebs["SnapshotId"]])["Snapshots"][0]
    assert (tags_of(image), tags_of(snapshot)) == (lineage, lineage)
    if packer.current:
        assert image["ImdsSupport"] == "v2.0"
        away = datetime.fromisoformat(image["DeprecationTime"]) - datetime.now(UTC)
        assert timedelta(days=89, hours=23) < away <= timedelta(days=90)
    assert re.search(r"MB were searched for i-[0-9a-f]{17}, ip-\d+-\d+-\d+-\d+, ", outcome.output), outcome.output
    with boot(cloud, image_id) as booted:
        key, logs = "/var/lib/amazon/ssm/Vault/Store/EC2RegistrationKey", "/var/log/amazon/ssm/*.log"
        booted.read(f"until sudo grep -qs i- {key}; do sleep 0.2; done")
        holders = booted.read(f"sudo sh -c 'cat {key} {logs}'")
        assert set(re.findall(r"i-[0-9a-f]{17}", holders)) == {booted.id}, "the agent for Systems Manager starts anew"
        baked = json.loads(booted.read("cat /etc/baked.json"))
        assert (baked["source_image"], baked["git_revision"], baked["compose"][0]) == (SOURCE, REVISION, "2.40.3")
        assert (
            booted.read("sudo cat /root/.ssh/authorized_keys ~/.ssh/authorized_keys | grep -c packer_ || true") == "0"
        )
    remove(cloud, image_id)


def test_the_builder_instance_is_as_restricted_as_the_template_says(packer: Packer, cloud: ImageCloud) -> None:
    cloud.clear_trace()
    outcome = packer.build("git_revision=broken")
    assert outcome.code != 0
    made = {call["action"]: call["parameters"] for call in cloud.calls()}
    rule = made["AuthorizeSecurityGroupIngress"]["IpPermissions"][0]
    assert (rule["FromPort"], rule["ToPort"], [r["CidrIp"] for r in rule["IpRanges"]]) == (22, 22, ["172.28.0.1/32"])
    launched = made["RunInstances"]
    assert launched["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    if packer.current:
        options = launched["MetadataOptions"]
        assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)
        assert made["CreateKeyPair"]["KeyType"] == "ed25519"


def test_an_image_is_shared_with_accounts_and_copied_to_regions_with_their_keys(
    packer: Packer, cloud: ImageCloud, new_resources: Callable[[], set[str]]
) -> None:
    home, away = (
        cloud.client("kms", region).create_key()["KeyMetadata"]["Arn"] for region in ("us-east-1", "eu-west-1")
    )
    there = cloud.resources("eu-west-1")
    distribution = f'distribution={{kms_key_id="{home}",accounts=["111111111111"],regions={{"eu-west-1"="{away}"}}}}'
    outcome = packer.build(distribution)
    assert outcome.code == 0, outcome.output
    assert outcome.images.keys() == {"us-east-1", "eu-west-1"}
    for region, key in (("us-east-1", home), ("eu-west-1", away)):
        ec2, image = cloud.client("ec2", region), cloud.image(outcome.images[region], region)
        ebs = image["BlockDeviceMappings"][0]["Ebs"]
        snapshot = ec2.describe_snapshots(SnapshotIds=[ebs["SnapshotId"]])["Snapshots"][0]
        assert (ebs["VolumeSize"], snapshot["Encrypted"], snapshot["KmsKeyId"]) == (40, True, key)
        permissions = ec2.describe_image_attribute(ImageId=image["ImageId"], Attribute="launchPermission")[
            "LaunchPermissions"
        ]
        volumes = ec2.describe_snapshot_attribute(SnapshotId=ebs["SnapshotId"], Attribute="createVolumePermission")[
            "CreateVolumePermissions"
        ]
        assert permissions == volumes == [{"UserId": "111111111111"}]
        assert tags_of(image)["ghosthands:source-image"] == SOURCE
    assert len(new_resources()) == len(cloud.resources("eu-west-1") - there) == 2
    for region, image_id in outcome.images.items():
        remove(cloud, image_id, region)


def test_two_simultaneous_builds_are_two_images(
    packer: Packer, cloud: ImageCloud, new_resources: Callable[[], set[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    other = replace(packer, template=template.tree(folder, template=packer.template))
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda one: one.build(), (packer, other)))
    made = {outcome.images["us-east-1"] for outcome in outcomes}
    assert len(made) == 2
    for image_id in made:
        remove(cloud, image_id)


def image_local(packer: str, cloud: ImageCloud, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `make image-local` on this cloud."""
    environment = {**os.environ, "PACKER": packer, "LOCALCLOUD_PORT": str(cloud.port)}
    words = [str(ROOT / ".ci/image"), "local", *options]
    return subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_image_local_builds_boots_and_tests_the_real_image(
    current: str, cloud: ImageCloud, new_resources: Callable[[], set[str]]
) -> None:
    done = image_local(current, cloud)
    assert done.returncode == 0, done.stdout + done.stderr
    made = re.search(r"^image: us-east-1:(ami-[0-9a-f]{17}) ", done.stdout, re.MULTILINE)
    assert made
    assert "booted: FAILED" not in done.stdout
    remove(cloud, made[1])


def test_no_image_is_made_if_a_proof_fails_and_the_last_line_says_which(
    current: str, cloud: ImageCloud, new_resources: Callable[[], set[str]]
) -> None:
    done = image_local(current, cloud, "-var", f'compose={{version="9.9.9",sha256={{x86_64="{"0" * 64}"}}}}')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("image: no image was made. ")
    assert "docker compose is not 9.9.9" in done.stderr.splitlines()[-1]
    assert not (ROOT / "build/image/manifest.json").exists()
