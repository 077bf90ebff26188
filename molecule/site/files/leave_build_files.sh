#!/bin/sh
# leave_build_files.sh USER INSTANCE ACCOUNT creates the files that a build leaves behind and that must not be in an image.
set -eu
for home in /root "/home/$1"; do
    mkdir -p "$home/.ssh" "$home/.docker" "$home/.cache"
    echo "ssh-ed25519 AAAA builder" >"$home/.ssh/authorized_keys"
    echo secret >"$home/.bash_history"
done
ssh-keygen -A
mkdir -p /var/log/sa && echo "Linux ip-10-9-1-23 $2" >/var/log/sa/sa26
mkdir -p /var/log/journal /var/lib/cloud/instances/i-builder
touch /var/log/cloud-init.log /var/tmp/left /tmp/left
date >/var/lib/systemd/random-seed

# The look-alike's stand-in for Amazon's agent writes as if it ran on that instance, until the next boot.
unit=/run/systemd/system/amazon-ssm-agent.service.d
mkdir -p $unit
printf '[Service]\nEnvironment="STAND_IN=%s %s us-east-1"\n' "$2" "$3" >$unit/builder.conf
systemctl daemon-reload
systemctl restart amazon-ssm-agent.service
seconds=0
until grep -qs "$2" /var/lib/amazon/ssm/Vault/Store/EC2RegistrationKey && grep -qs "$3" /var/log/amazon/ssm/amazon-ssm-agent.log; do
    seconds=$((seconds + 1))
    [ $seconds -le 20 ] || exit 1
    sleep 1
done
