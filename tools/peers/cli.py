"""aws-cli's own examples: each documented command as it stands there, answered by localcloud.

An example's region and its ids of instances, networks and the like become those of resources that are here, put back
after each command that changes anything. Other names are made up, so that AWS would refuse them: an error of AWS's is
an answer. What is not: an error 500, or an answer without what the example's output has at its top.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import awscli  # type: ignore[import-untyped]
from awscli.clidriver import create_clidriver  # type: ignore[import-untyped]
from localcloud.strictness import Strictness
from localcloud.testing import Cloud

from tools.peers import report

#: The services that localcloud models, and those whose examples take seconds.
SERVICES = ("autoscaling", "ec2", "ecr", "iam", "kms", "logs", "secretsmanager", "service-quotas", "sts")
QUICK = ("secretsmanager", "service-quotas", "sts")
#: Commands of aws-cli's own, which wait, or need a terminal or files that the examples do not contain.
ELSEWHERE = re.compile(
    r"\bfile(b)?://|\bhttps?://| [|>^]|<[a-z-]+>|\$[A-Z(]|--cli-input|--outfile|--priv-launch-key"
    r"|\b(tail|wait|get-login|start-live-tail)\b"
)
#: What aws-cli does not print: where it reads all pages itself, and what every answer has.
UNPRINTED = re.compile("[tT]oken|Marker|Truncated|AdditionalRoutes|RequestID")
#: What an answer has only if the resource is as the example's was.
DEPENDS = {
    "create-volume": frozenset({"Tags"}),
    "delete-key-pair": frozenset({"KeyPairId"}),
    "describe-volumes-modifications": frozenset({"VolumeModification"}),  # the example's own mistake
    "restore-snapshot-tier": frozenset({"RestoreDuration"}),  # likewise
    "start-instances": frozenset({"Return"}),  # likewise
    "get-key-rotation-status": frozenset({"NextRotationDate", "RotationPeriodInDays"}),
    "describe-secret": frozenset(
        {"Description", "KmsKeyId", "LastAccessedDate", "LastRotatedDate", "PrimaryRegion", "ReplicationStatus"}
        | {"RotationEnabled", "RotationLambdaARN", "RotationRules", "Tags"}
    ),
}
_COMMAND = re.compile(r"^ {2,4}(aws (?:.*\\\n)*.*)$", re.MULTILINE)
_READS = re.compile(r"aws \S+ (describe|get|list|batch-get|search|simulate)-")
_REGION = re.compile(r"\b(us|eu|ap|sa|ca)-[a-z]+-\d(?=[a-f]?\b)")
_ACCOUNT = re.compile(r"\b(111122223333|012345678910|444455556666|123456789111)\b")
_KEY = re.compile(r"\b[0-9a-f]{4}abcd-12ab-34cd-56ef-1234567890ab\b")
_ID = re.compile(r"\b([a-z]+)-(?=[0-9a-f]*\d)[0-9a-f]{7,17}\b")
_OUTPUT = re.compile(r"Output:+\s*\n\n((?: {2,}.*\n|\n)+)")


def run(quick: bool) -> report.Peer:
    """Run them, one after the other, in this process."""
    peer = report.Peer("aws-cli", version("awscli"), "the commands of its documented examples")
    with Cloud.start_thread(strictness=Strictness.off()) as cloud:
        settings = {**cloud.environment, "AWS_MAX_ATTEMPTS": "1", "AWS_PAGER": "", "AWS_EC2_METADATA_DISABLED": "true"}
        with mock.patch.dict(os.environ, settings):
            driver = create_clidriver()
            for service in QUICK if quick else SERVICES:
                cloud.control("reset")
                ids = _resources(cloud)
                cloud.control("snapshot")
                before = len(peer.cases)
                for name, command, output in _examples(service):
                    _try(peer, driver, name, _here(command, ids), output)
                    if re.search("modify-.*-attribute", command):  # which leaves traces in the client
                        driver = create_clidriver()
                    if peer.cases[-1].outcome == "passed" and not _READS.match(command):
                        cloud.control("restore")
                here = report.Peer(f"  {service}", "", "", peer.cases[before:])
                print(here.line(), flush=True)
    return peer


def _resources(cloud: Cloud) -> dict[str, str]:
    """What the examples act on, by the prefix of its id: a group with an instance and what belongs to both."""
    ec2, autoscaling = cloud.client("ec2"), cloud.client("autoscaling")
    template = {"ImageId": "ami-010ca1c10d000a001", "InstanceType": "t3.micro", "KeyName": "valet-worker"}
    made = ec2.create_launch_template(LaunchTemplateName="my-template", LaunchTemplateData=template)["LaunchTemplate"]
    subnet = ec2.describe_subnets()["Subnets"][0]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="my-asg",
        LaunchTemplate={"LaunchTemplateId": made["LaunchTemplateId"], "Version": "1"},
        MinSize=0,
        MaxSize=5,
        DesiredCapacity=1,
        VPCZoneIdentifier=subnet["SubnetId"],
    )
    cloud.client("secretsmanager").create_secret(Name="MyTestSecret", SecretString="{}")
    instance = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    interface = instance["NetworkInterfaces"][0]
    volume = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    return {
        "acl": ec2.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"],
        "ami": instance["ImageId"],
        "eipalloc": ec2.allocate_address(Domain="vpc")["AllocationId"],
        "eni": interface["NetworkInterfaceId"],
        "i": instance["InstanceId"],
        "igw": ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"],
        "key": cloud.client("kms").create_key()["KeyMetadata"]["KeyId"],
        "lt": made["LaunchTemplateId"],
        "rtb": ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"],
        "sg": interface["Groups"][0]["GroupId"],
        "snap": ec2.create_snapshot(VolumeId=volume)["SnapshotId"],
        "subnet": instance["SubnetId"],
        "vol": volume,
        "vpc": instance["VpcId"],
    }


def _here(command: str, ids: dict[str, str]) -> str:
    """The command in the region that is here, about resources that are."""
    command = _KEY.sub(ids["key"], _ACCOUNT.sub("123456789012", _REGION.sub("us-east-1", command)))
    return _ID.sub(lambda found: ids.get(found[1], found[0]), command)


def _examples(service: str) -> Iterator[tuple[str, str, Any]]:
    """Name, command and documented output of each example of a service."""
    folder = Path(awscli.__file__).parent / "examples" / service
    for page in sorted(folder.glob("*.rst")):
        text = page.read_text()
        commands = list(_COMMAND.finditer(text))
        for number, found in enumerate(commands, 1):
            after = text[found.end() : commands[number].start() if number < len(commands) else len(text)]
            documented = _OUTPUT.search(after)
            yield f"{service} {page.stem} {number}", found.group(1).replace("\\\n", " "), _json(documented)


def _json(documented: re.Match[str] | None) -> Any:
    try:
        return json.loads(documented.group(1)) if documented else None
    except ValueError:
        return None


def _try(peer: report.Peer, driver: Any, name: str, command: str, output: Any) -> None:
    if ELSEWHERE.search(command):
        peer.add(name, "absent", "needs what the example does not contain")
        return
    try:
        arguments = shlex.split(command)[1:]
    except ValueError as problem:
        peer.add(name, "absent", f"no shell command: {problem}")
        return
    if "--output" in arguments or "--query" in arguments:  # what it prints is not the answer
        output = None
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch("sys.stdin", io.StringIO()):
        try:
            status = driver.main(arguments)
        except SystemExit as end:
            status = end.code
        except Exception as problem:  # the client's own fault is reported as such
            status, _ = 255, err.write(f"{type(problem).__name__}: {problem}")
    peer.add(name, *_judged(arguments[1], status, out.getvalue(), err.getvalue(), output))


def _judged(operation: str, status: int, out: str, error: str, documented: Any) -> tuple[report.Outcome, str]:
    if report.REFUSAL in error:
        return "refused", error
    if "InternalFailure" in error or "InternalError" in error or "(5" in error:
        return "fault", error
    if status == 252 or any(words in error for words in ("usage: aws", "Parameter validation", "Error parsing")):
        return "absent", f"the client refuses its example: {error}"
    if "An error occurred (" in error:
        return "passed", error
    if status:
        return "fault", error
    try:
        shown = json.loads(out) if out.strip() else {}
    except ValueError:
        return "passed", "not JSON"
    if isinstance(documented, dict) and isinstance(shown, dict) and (missing := _missing(operation, documented, shown)):
        return "fault", f"the answer lacks {', '.join(missing)}"
    return "passed", ""


def _missing(operation: str, documented: dict[str, Any], shown: dict[str, Any]) -> list[str]:
    """What the example's output has at its top and the answer not, though nothing in the world explains that."""
    missing = documented.keys() - shown.keys() - DEPENDS.get(operation, frozenset())
    return sorted(key for key in missing if not UNPRINTED.search(key))
