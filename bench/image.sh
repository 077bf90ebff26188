#!/bin/bash
# The baseline of bench/image.py: what image.yml does, as a plain script. It is not for making images: it can be run
# only once, and installs the files beside it, so that both ways install the same bytes.
# Usage, as root: image.sh COMPOSE_SHA256 INSTANCE
set -euo pipefail
cd "$(dirname "$0")"

# Docker. It is masked so that it first starts with its configuration.
echo "$1 *docker-compose" | sha256sum --check --quiet
install -D -m 0755 docker-compose /usr/local/lib/docker/cli-plugins/docker-compose
ln -s /dev/null /etc/systemd/system/docker.service
ln -s /dev/null /etc/systemd/system/docker.socket
dnf -q -y --setopt=install_weak_deps=False install docker xorg-x11-server-Xvfb python3.11
mkdir -p /etc/docker
dockerd --validate --config-file=tree/etc/docker/daemon.json -H fd:// >/dev/null 2>&1

# All files of the three roles at once: configuration, units, the project. Then the agent and its environment.
tar -C tree -c . | tar -C / -x --no-same-owner --no-overwrite-dir
usermod -aG docker ec2-user
install -d -o 1000 -g 1000 /opt/ghosthands /opt/ghosthands/docker-config
chown 1000:1000 /opt/ghosthands/docker-compose.prod.yml
mkdir -p /etc/ghosthands /usr/share/ghosthands /opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.d
agent=/opt/ghosthands-agent
python3.11 -m venv $agent
$agent/bin/pip -q install --disable-pip-version-check --no-input --no-deps --require-hashes --only-binary=:all: --no-cache-dir \
    --no-index --find-links=wheels -r requirements.txt
$agent/bin/pip -q install --disable-pip-version-check --no-input --no-deps --no-cache-dir --no-index $agent/*.whl

rm /etc/systemd/system/docker.service /etc/systemd/system/docker.socket
systemctl daemon-reload
systemctl -q enable --now docker.service xvfb.service
systemctl -q enable ghosthands-{boot,watch,stop}.service ghosthands-{registry-login,disk-guard}.timer
ghosthands-agent check-compose /opt/ghosthands/docker-compose.prod.yml

# Seal.
journalctl --relinquish-var
# shellcheck disable=SC2046  # words and patterns on purpose
rm -rf -- $(cat gone)
find /tmp /var/tmp /root/.ansible /home/*/.ansible -mindepth 1 -maxdepth 1 ! -name '.*-unix' ! -name 'systemd-private-*' \
    ! -name 'ansible*' ! -name tmp -exec rm -rf -- {} + 2>/dev/null || true
: >/etc/hostname
: >/etc/machine-id

# Prove.
[ "$(docker compose version --short | cut -d- -f1)" = 2.40.3 ]
[ -z "$(docker ps --all --quiet)" ]
systemctl -q is-active docker.service xvfb.service
systemctl -q is-enabled docker.service xvfb.service ghosthands-{boot,watch,stop}.service ghosthands-{disk-guard,registry-login}.timer
[ -z "$(systemctl --failed --plain --no-legend)" ]
ghosthands-agent --help >/dev/null
output=$(ghosthands-agent boot 2>&1) || [ $? = 2 ] || { echo "$output" && false; }
# shellcheck disable=SC2046
[ -z "$(ls -d $(cat gone) 2>/dev/null)" ]
printf '{"compose_version": "2.40.3", "agent_version": "%s", "built_at": "%s"}\n' \
    "$(ghosthands-agent --version)" "$(date -u +%FT%TZ)" >/etc/ghosthands/image.json
[ -z "$(find / -xdev -type f -exec grep -lsF -e "$2" {} +)" ]
