"""The runbook's own unit (§2) and boot script (§8) on the fleet that the site made, to be measured beside the agent.

Its image, group, hook, role and secret stay as they are; the image's own units are masked, the launch hook goes, and
what the hook abandons is ended, as without the policy that the runbook does not have. Three departures, each in the
runbook's favour: the script is installed where the unit looks for it, the secret holds KEY=value lines, and the script
runs once. `aws` is not among Debian's packages: a program over the image's botocore answers the script's two commands.
"""

from __future__ import annotations

import base64
import json

from tests.e2e.first_day import GROUP, SECRET, FirstDay, until

#: What the fleet's hook waits before an instance is ended, in place of the runbook's 300 s: AWS's least.
HEARTBEAT_SECONDS = 30
TEMPLATE, TERMINATION, LAUNCH = "gh-worker-lt", "gh-worker-termination", "gh-worker-launch"
AWS = """\
#!/opt/ghosthands-agent/bin/python
import base64, sys
import botocore.session
def client(service):
    return botocore.session.get_session().create_client(service, region_name="us-east-1", endpoint_url="{endpoint}")
if sys.argv[1:3] == ["secretsmanager", "get-secret-value"]:
    print(client("secretsmanager").get_secret_value(SecretId="{secret}")["SecretString"])
elif sys.argv[1:3] == ["ecr", "get-login-password"]:
    token = client("ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    print(base64.b64decode(token).decode().partition(":")[2])
else:
    sys.exit("aws: " + " ".join(sys.argv[1:]))
"""
#: §8, without its messages.
SCRIPT = """\
#!/bin/bash
set -euo pipefail
REGION="us-east-1"
SECRET_ID="{secret}"
APP_DIR="/opt/ghosthands"
aws secretsmanager get-secret-value --secret-id "$SECRET_ID" --region "$REGION" --query SecretString \
  --output text > "$APP_DIR/.env"
TOKEN=$(curl -s -X PUT "http://169.254.169.254/latest/api/token" -H "X-aws-ec2-metadata-token-ttl-seconds: 60")
INSTANCE_ID=$(curl -s -H "X-aws-ec2-metadata-token: $TOKEN" http://169.254.169.254/latest/meta-data/instance-id)
LOCAL_IP=$(curl -s -H "X-aws-ec2-metadata-token: $TOKEN" http://169.254.169.254/latest/meta-data/local-ipv4)
{{
  echo ""
  echo "EC2_INSTANCE_ID=${{INSTANCE_ID}}"
  echo "EC2_IP=${{LOCAL_IP}}"
  echo "AWS_ASG_NAME=gh-worker-asg"
  echo "AWS_LIFECYCLE_HOOK_NAME=gh-worker-termination"
  echo "AWS_REGION=${{REGION}}"
}} >> "$APP_DIR/.env"
chmod 600 "$APP_DIR/.env"
if ! pgrep -x Xvfb > /dev/null; then
  Xvfb :99 -screen 0 1920x1080x24 &
fi
export DISPLAY=:99
aws ecr get-login-password --region "$REGION" | docker login --username AWS --password-stdin "{registry}"
docker pull "{registry}/ghosthands:latest"
echo "ECR_IMAGE={registry}/ghosthands:latest" >> "$APP_DIR/.env"
cd "$APP_DIR"
docker compose -f docker-compose.prod.yml up -d
"""
#: §2. GH_WORKER_ID is a new one at each start, as the worker's own default.
UNIT = """\
[Unit]
Description=GhostHands Worker
After=docker.service
Requires=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory=/opt/ghosthands
ExecStartPre=/usr/bin/bash /opt/ghosthands/user-data.sh
ExecStart=/usr/bin/docker compose -f docker-compose.prod.yml up -d
ExecStop=/usr/bin/docker compose -f docker-compose.prod.yml down
TimeoutStartSec=120
TimeoutStopSec=60
"""
OWN_UNITS = " ".join(
    f"ghosthands-{name}" for name in ("boot.service", "watch.service", "stop.service", "disk-guard.timer")
)


def user_data(endpoint: str, registry: str) -> str:
    """cloud-init's configuration of an instance."""
    files = {
        "/usr/local/bin/aws": AWS.format(endpoint=endpoint, secret=SECRET),
        "/opt/ghosthands/user-data.sh": SCRIPT.format(secret=SECRET, registry=registry),
        "/etc/systemd/system/ghosthands.service": UNIT,
    }
    config = {
        "bootcmd": [["sh", "-c", f"systemctl mask --now {OWN_UNITS}"]],
        "write_files": [
            {"path": path, "content": text, "permissions": "0755" if "bin" in path else "0644"}
            for path, text in files.items()
        ],
        "runcmd": [["systemctl", "daemon-reload"], ["systemctl", "start", "ghosthands.service"]],
    }
    return "#cloud-config\n" + json.dumps(config)


def install(day: FirstDay) -> None:
    """Replace the fleet's one instance by one that the runbook's unit and script run."""
    ec2, autoscaling = day.cloud.client("ec2"), day.cloud.client("autoscaling")
    registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
    version = ec2.create_launch_template_version(
        LaunchTemplateName=TEMPLATE,
        SourceVersion="$Latest",
        LaunchTemplateData={"UserData": base64.b64encode(user_data(day.cloud.url, registry).encode()).decode()},
    )["LaunchTemplateVersion"]["VersionNumber"]
    autoscaling.update_auto_scaling_group(AutoScalingGroupName=GROUP, MinSize=0, DesiredCapacity=0)
    until(lambda: not day.states(), 180, "the agent's instances are gone")
    day.boot_mark = ("ghosthands", "InactiveExitTimestamp")  # cloud-init starts the unit, and ends after it
    secret = (day.workspace / "worker.env").read_text(encoding="utf-8")
    day.cloud.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=secret)
    autoscaling.delete_lifecycle_hook(AutoScalingGroupName=GROUP, LifecycleHookName=LAUNCH)
    autoscaling.put_lifecycle_hook(
        AutoScalingGroupName=GROUP,
        LifecycleHookName=TERMINATION,
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        HeartbeatTimeout=HEARTBEAT_SECONDS,
        DefaultResult="ABANDON",
    )
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        LaunchTemplate={"LaunchTemplateName": TEMPLATE, "Version": str(version)},
        InstanceLifecyclePolicy={"RetentionTriggers": {"TerminateHookAbandon": "terminate"}},
    )
