#!/bin/sh
# Runs on an instance of tools/first_contact and writes what only the instance sees, a line for each change:
# FIRST-CONTACT <seconds since the epoch> <name> <value>
# On EC2 it is user data and writes to the console, which GetConsoleOutput shows. On localcloud it is the instance's command.
metadata=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}/latest
out=/dev/console
[ -z "${AWS_EC2_METADATA_SERVICE_ENDPOINT:-}" ] || out=/dev/stdout

say() { echo "FIRST-CONTACT $(date +%s) $1 $2" >>"$out"; }
get() { curl -sf -m 2 -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/$1"; }

# Amazon Linux only; it takes a while.
if command -v dnf >/dev/null; then
    for package in docker containerd amazon-ssm-agent; do
        say "package-$package" "$(dnf -q list --showduplicates $package 2>/dev/null | awk 'END {print $2}')"
    done &
fi
seen= tagged= spot=
while :; do
    token=$(curl -sf -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$metadata/api/token")
    state=$(get autoscaling/target-lifecycle-state)
    [ -z "$state" ] || [ "$state" = "$seen" ] || say target-lifecycle-state "$state"
    tag=$(get tags/instance/first-contact)
    [ -z "$tag" ] || [ "$tag" = "$tagged" ] || say tag "$tag"
    notice=$(get spot/instance-action | tr -d ' \n')
    [ -z "$notice" ] || [ "$notice" = "$spot" ] || say spot "$notice"
    seen=${state:-$seen} tagged=${tag:-$tagged} spot=${notice:-$spot}
    sleep "${EVERY:-1}"
done
