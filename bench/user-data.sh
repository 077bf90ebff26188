#!/bin/bash
# The runbook's user-data.sh (section 8), the baseline of bench/boot.py. Only what placeholders and this host require is changed:
# - APP_DIR, LOG_FILE: from the environment if set, because all instances share this host's file system.
# - METADATA: the address of the metadata service, which differs for each process instance.
# - REGISTRY: <account-id> is filled in; from the environment if set, such as a registry on this host.
# - "Start Xvfb" is left out, because no display is measured here.
set -euo pipefail

REGION="us-east-1"
SECRET_ID="ghosthands/worker/env"
APP_DIR="${APP_DIR:-/opt/ghosthands}"
LOG_FILE="${LOG_FILE:-/var/log/gh-worker-userdata.log}"
METADATA="${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}"
REGISTRY="${REGISTRY:-123456789012.dkr.ecr.${REGION}.amazonaws.com}"

exec > >(tee -a "$LOG_FILE") 2>&1
echo "=== GH Worker UserData started at $(date -u) ==="

# ── Fetch secrets from AWS Secrets Manager ──────────────────
echo "Fetching secrets from Secrets Manager: $SECRET_ID"
aws secretsmanager get-secret-value \
  --secret-id "$SECRET_ID" \
  --region "$REGION" \
  --query SecretString \
  --output text > "$APP_DIR/.env"

# ── Set instance-specific env vars from IMDSv2 ──────────────
# The worker also auto-detects these via fetchEc2Metadata() in main.ts,
# but setting them in .env ensures docker-compose and other scripts see them.
TOKEN=$(curl -s -X PUT "$METADATA/latest/api/token" \
  -H "X-aws-ec2-metadata-token-ttl-seconds: 60")

INSTANCE_ID=$(curl -s -H "X-aws-ec2-metadata-token: $TOKEN" \
  "$METADATA"/latest/meta-data/instance-id)

LOCAL_IP=$(curl -s -H "X-aws-ec2-metadata-token: $TOKEN" \
  "$METADATA"/latest/meta-data/local-ipv4)

{
  echo ""
  echo "# ── Instance-specific (set by user-data.sh) ──"
  echo "EC2_INSTANCE_ID=${INSTANCE_ID}"
  echo "EC2_IP=${LOCAL_IP}"
  echo "AWS_ASG_NAME=gh-worker-asg"
  echo "AWS_LIFECYCLE_HOOK_NAME=gh-worker-termination"
  echo "AWS_REGION=${REGION}"
} >> "$APP_DIR/.env"

# Secure .env file
chmod 600 "$APP_DIR/.env"
echo "Environment configured for instance $INSTANCE_ID ($LOCAL_IP)"

# ── Pull latest image from ECR ──────────────────────────────
echo "Authenticating with ECR..."
aws ecr get-login-password --region "$REGION" | \
  docker login --username AWS --password-stdin \
  "$REGISTRY"

echo "Pulling latest GH worker image..."
docker pull "$REGISTRY/ghosthands:latest"

# Tag for docker-compose (uses ECR_IMAGE env var)
echo "ECR_IMAGE=$REGISTRY/ghosthands:latest" >> "$APP_DIR/.env"

# ── Start containers ────────────────────────────────────────
echo "Starting GH worker containers..."
cd "$APP_DIR"
docker compose -f docker-compose.prod.yml up -d

echo "=== GH Worker UserData completed at $(date -u) ==="
