"""Clients of the metadata service: botocore's fetchers, and ec2-metadata from the package index."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from botocore.session import Session
from botocore.utils import IMDSFetcher, InstanceMetadataFetcher, InstanceMetadataRegionFetcher
from localcloud.strictness import Strictness
from localcloud.testing import Cloud

from tools.peers import packages, report

IMAGE = "ami-010ca1c10d000a001"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def run(quick: bool) -> report.Peer:
    """Run them; all are cheap."""
    peer = report.Peer(
        "metadata", f"botocore {version('botocore')}, ec2-metadata 3.0.0", "clients of instance metadata"
    )
    with Cloud.start_thread(strictness=Strictness.off()) as cloud:
        instance = _instance(cloud)
        with _endpoint(cloud, instance["InstanceId"]) as url:
            for name, ask in _botocore(cloud, url, instance).items():
                _note(peer, f"botocore: {name}", ask)
            try:
                sys.path.insert(0, str(packages.site()))
            except packages.Unreachable as problem:
                peer.add("ec2-metadata", "absent", str(problem))
            else:
                for name, ask in _ec2_metadata(url, instance).items():
                    _note(peer, f"ec2-metadata: {name}", ask)
    return peer


def _note(peer: report.Peer, name: str, ask: Callable[[], None]) -> None:
    try:
        ask()
    except Exception as problem:  # whatever a client raises is what is to be reported
        peer.add(name, "fault", f"{type(problem).__name__}: {problem}")
    else:
        peer.add(name, "passed")


def _instance(cloud: Cloud) -> dict[str, Any]:
    """An instance with a role, a key pair and user data."""
    iam, ec2 = cloud.client("iam"), cloud.client("ec2")
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.create_instance_profile(InstanceProfileName="worker")
    iam.add_role_to_instance_profile(InstanceProfileName="worker", RoleName="worker")
    made = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        KeyName="valet-worker",
        IamInstanceProfile={"Name": "worker"},
        UserData="#cloud-config\n",
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "worker"}]}],
    )["Instances"][0]["InstanceId"]
    shown: dict[str, Any] = ec2.describe_instances(InstanceIds=[made])["Reservations"][0]["Instances"][0]
    return shown


@contextmanager
def _endpoint(cloud: Cloud, instance_id: str) -> Iterator[str]:
    """The metadata service of an instance, once it has its role's credentials."""
    endpoint = cloud.application.world.metadata.serve("127.0.0.1", 0, lambda _: instance_id)
    try:
        url = f"http://127.0.0.1:{endpoint.port}/"
        give_up = time.monotonic() + 60
        while not _credentials(url) and time.monotonic() < give_up:
            time.sleep(0.5)
        yield url
    finally:
        endpoint.close()


def _credentials(url: str) -> dict[str, Any]:
    fetcher = InstanceMetadataFetcher(timeout=5, num_attempts=1, base_url=url)
    found: dict[str, Any] = fetcher.retrieve_iam_role_credentials()
    return found


def _botocore(cloud: Cloud, url: str, instance: dict[str, Any]) -> dict[str, Callable[[], None]]:
    """What botocore's fetchers do, by name."""

    def credentials() -> None:
        held = _credentials(url)
        session = Session()
        session.set_credentials(held["access_key"], held["secret_key"], held["token"])
        sts = session.create_client("sts", "us-east-1", endpoint_url=cloud.url)
        assert f":assumed-role/worker/{instance['InstanceId']}" in sts.get_caller_identity()["Arn"]

    def region() -> None:
        fetcher = InstanceMetadataRegionFetcher(timeout=5, num_attempts=1, base_url=url)
        assert fetcher.retrieve_region() == "us-east-1"

    def tokens() -> None:
        fetcher: Any = IMDSFetcher(timeout=5, num_attempts=1, base_url=url)
        answer = fetcher._get_request("latest/meta-data/instance-id", lambda response: not response.content)
        assert answer.status_code == 401, f"without a token: {answer.status_code}"
        assert fetcher._fetch_metadata_token()

    return {"credentials of the role, used": credentials, "region": region, "tokens are required": tokens}


def _ec2_metadata(url: str, instance: dict[str, Any]) -> dict[str, Callable[[], None]]:
    """Each property of ec2-metadata, the ones that EC2 describes compared with its description."""
    kind: Any = vars(importlib.import_module("ec2_metadata"))["EC2Metadata"]
    client = kind()
    client.service_url = f"{url}latest/"
    client.dynamic_url = f"{client.service_url}dynamic/"
    client.metadata_url = f"{client.service_url}meta-data/"
    client.userdata_url = f"{client.service_url}user-data/"
    expected = {
        "instance_id": instance["InstanceId"],
        "ami_id": instance["ImageId"],
        "availability_zone": instance["Placement"]["AvailabilityZone"],
        "instance_type": instance["InstanceType"],
        "private_ipv4": instance["PrivateIpAddress"],
        "private_hostname": instance["PrivateDnsName"],
        "public_ipv4": instance.get("PublicIpAddress"),
        "region": "us-east-1",
        "account_id": "123456789012",
        "security_groups": ["default"],
        "user_data": b"#cloud-config\n",
        "mac": instance["NetworkInterfaces"][0]["MacAddress"],
    }

    def ask(name: str) -> Callable[[], None]:
        def one() -> None:
            found = getattr(client, name)
            if name in expected:
                assert found == expected[name], f"{found!r}, and EC2 says {expected[name]!r}"

        return one

    names = [
        name
        for name, member in inspect.getmembers(kind)
        if not name.startswith("_") and (isinstance(member, property) or hasattr(member, "func"))
    ]
    return {name: ask(name) for name in names}
