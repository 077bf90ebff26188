#!/usr/bin/env bash
# check_image.sh COMPOSE_VERSION XVFB(True|False) WORKER_IMAGE prints a line for everything that is missing or does not work on the host. No output: all is well.
set -uo pipefail
exec 2>/dev/null # over SSH Ansible runs a script in a terminal, which would mix stderr into stdout
compose_version=$1 xvfb=$2 worker_image=$3
problem() { echo "$*"; }

[ "$(docker compose version --short | cut -d- -f1)" = "$compose_version" ] || problem "docker compose is not $compose_version"
[ -z "$(docker ps --all --quiet)" ] || problem "there are containers: $(docker ps --all --format '{{.Names}}' | tr '\n' ' ')"

services=(docker.service)
[ "$xvfb" = False ] || services+=(xvfb.service)
for unit in "${services[@]}"; do
    systemctl --quiet is-active "$unit" || problem "$unit does not run"
done
for unit in "${services[@]}" ghosthands-{boot,watch,stop}.service ghosthands-{disk-guard,registry-login}.timer; do
    systemctl --quiet is-enabled "$unit" || problem "$unit does not start at boot"
done
systemctl --failed --plain --no-legend | while read -r unit _rest; do problem "$unit has failed"; done

ghosthands-agent --help >/dev/null || problem "the agent does not run"
output=$(cd / && ghosthands-agent boot 2>&1)
[ $? = 2 ] || problem "the agent boots without agent.conf: $output"
[ -s /opt/ghosthands/docker-compose.prod.yml ] || problem "there is no compose file"
[ -z "$worker_image" ] || docker image inspect "$worker_image" >/dev/null || problem "the worker's image is not here"
exit 0
