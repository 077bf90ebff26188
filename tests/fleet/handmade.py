"""A fleet as the runbook's own commands leave it, sections 3 to 7, with the names of inventories/local."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from localcloud.testing import PROPAGATED, Cloud, wait_until

from tests.fleet.fleet import (
    GROUP,
    LOGS,
    POLICY,
    PROFILE,
    REPOSITORY,
    ROLE,
    SECRET,
    SECURITY_GROUP,
    TEMPLATE,
    TERMINATION,
)

ACCOUNT, REGION = "123456789012", "us-east-1"
GOLDEN = "ami-010ca1c10d000a001"  # with the agent; the runbook's image is a copy without its tags
VALET_GROUP = "sg-010ca1c10d0000001"
MANAGEMENT, OFFICE = "203.0.113.7/32", "198.51.100.0/24"
TERMINATE = {"RetentionTriggers": {"TerminateHookAbandon": "terminate"}}
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
# Section 9.
ENVIRONMENT = dict.fromkeys(
    "SUPABASE_URL SUPABASE_SECRET_KEY SUPABASE_PUBLISHABLE_KEY DATABASE_URL DATABASE_DIRECT_URL GH_SERVICE_SECRET "
    "GH_ENCRYPTION_KEY GH_DEPLOY_SECRET GH_ENVIRONMENT OPENAI_API_KEY".split(),
    "value",
)
USER_DATA = """#!/bin/bash
set -euo pipefail

REGION="us-east-1"
SECRET_ID="ghosthands/worker/env"
APP_DIR="/opt/ghosthands"

aws secretsmanager get-secret-value --secret-id "$SECRET_ID" --region "$REGION" --query SecretString \\
  --output text > "$APP_DIR/.env"
cd "$APP_DIR"
docker compose -f docker-compose.prod.yml up -d
"""


def build(cloud: Cloud, instances: int = 3) -> str:
    """Run the runbook's commands. Returns the image, which has no agent."""
    ec2, autoscaling = cloud.client("ec2"), cloud.client("autoscaling")
    image = str(ec2.copy_image(SourceImageId=GOLDEN, SourceRegion=REGION, Name="gh-worker-golden-20260221")["ImageId"])
    _worker_image(cloud)
    cloud.client("secretsmanager").create_secret(Name=SECRET, SecretString=json.dumps(ENVIRONMENT))
    _role(cloud)
    group = _security_group(cloud)
    data = {
        "ImageId": image,
        "InstanceType": "t3.medium",
        "KeyName": "valet-worker",
        "SecurityGroupIds": [group],
        "IamInstanceProfile": {"Name": PROFILE},
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 40, "VolumeType": "gp3", "DeleteOnTermination": True}}
        ],
        "UserData": base64.b64encode(USER_DATA.encode()).decode(),
        "TagSpecifications": [
            {
                "ResourceType": "instance",
                "Tags": [
                    {"Key": "Name", "Value": "gh-worker"},
                    {"Key": "Project", "Value": "wekruit"},
                    {"Key": "Role", "Value": "gh-worker"},
                ],
            }
        ],
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled"},
    }
    ec2.create_launch_template(
        LaunchTemplateName=TEMPLATE, VersionDescription="GhostHands worker v1", LaunchTemplateData=data
    )
    cloud.advance(PROPAGATED)
    default = [{"Name": "default-for-az", "Values": ["true"]}]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets(Filters=default)["Subnets"]][:2]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        LaunchTemplate={"LaunchTemplateName": TEMPLATE, "Version": "$Latest"},
        MinSize=1,
        MaxSize=10,
        DesiredCapacity=instances,
        VPCZoneIdentifier=",".join(subnets),
        HealthCheckType="EC2",
        HealthCheckGracePeriod=300,
        DefaultCooldown=300,
        Tags=[
            {"Key": "Name", "Value": "gh-worker", "PropagateAtLaunch": True},
            {"Key": "Project", "Value": "wekruit", "PropagateAtLaunch": True},
        ],
    )
    autoscaling.put_lifecycle_hook(
        AutoScalingGroupName=GROUP,
        LifecycleHookName=TERMINATION,
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=300,
        DefaultResult="ABANDON",
    )
    wait_until(lambda: list(cloud.lifecycle_states(GROUP).values()) == ["InService"] * instances, timeout=60)
    return image


def _worker_image(cloud: Cloud) -> None:
    ecr, empty = cloud.client("ecr"), hashlib.sha256(b"").hexdigest()
    ecr.create_repository(repositoryName=REPOSITORY)
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 0, "digest": f"sha256:{empty}"}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    ecr.put_image(repositoryName=REPOSITORY, imageManifest=json.dumps(manifest), imageTag="latest")


def _role(cloud: Cloud) -> None:
    iam, arn = cloud.client("iam"), f"arn:aws:{{}}:{REGION}:{ACCOUNT}:{{}}"
    trust: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}
    trust["Action"] = "sts:AssumeRole"
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    pull = ["ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "ecr:BatchCheckLayerAvailability"]
    lifecycle = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"]
    group = f"autoScalingGroup:*:autoScalingGroupName/{GROUP}"
    allowed = {
        "ASGLifecycle": (lifecycle, arn.format("autoscaling", group)),
        "ECRAuth": (["ecr:GetAuthorizationToken"], "*"),
        "ECRPull": (pull, arn.format("ecr", f"repository/{REPOSITORY}")),
        "SecretsAccess": (
            ["secretsmanager:GetSecretValue"],
            arn.format("secretsmanager", "secret:ghosthands/worker/*"),
        ),
        "CloudWatchLogs": (logs, arn.format("logs", f"log-group:{LOGS}:*")),
        "Screenshots": (["s3:PutObject"], "arn:aws:s3:::screenshots/*"),  # added later, by somebody else
    }
    statements = [
        {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
        for sid, (actions, resource) in allowed.items()
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=ROLE, PolicyName=POLICY, PolicyDocument=document)
    iam.create_instance_profile(InstanceProfileName=PROFILE)
    iam.add_role_to_instance_profile(InstanceProfileName=PROFILE, RoleName=ROLE)


def _security_group(cloud: Cloud) -> str:
    ec2 = cloud.client("ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    made = ec2.create_security_group(
        GroupName=SECURITY_GROUP, Description="GhostHands worker instances", VpcId=vpc["VpcId"]
    )
    targets: list[tuple[int, dict[str, Any]]] = [
        (22, {"IpRanges": [{"CidrIp": MANAGEMENT}]}),
        *((port, {"UserIdGroupPairs": [{"GroupId": VALET_GROUP}]}) for port in (3101, 8000, 3100)),
        (9100, {"IpRanges": [{"CidrIp": OFFICE, "Description": "monitoring"}]}),  # added later, by somebody else
    ]
    for port, target in targets:
        ec2.authorize_security_group_ingress(
            GroupId=made["GroupId"], IpPermissions=[{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **target}]
        )
    return str(made["GroupId"])
