#!/bin/sh
# validate_daemon_config.sh FILE ends with exit code 0 if Docker Engine accepts FILE as daemon.json, together with the options of its systemd unit.
set -e
file=$1

# Amazon Linux's unit reads further options from here. Docker Engine refuses an option that is given both there and in daemon.json.
[ ! -r /etc/sysconfig/docker ] || . /etc/sysconfig/docker

if dockerd --help 2>&1 | grep -q -- --validate; then
    # shellcheck disable=SC2086  # OPTIONS holds several words
    exec dockerd --validate --config-file="$file" -H fd:// ${OPTIONS-}
fi

# Docker Engine 20.10 (Debian 12) has no --validate. With a PID file that cannot be created it exits right after reading its configuration.
! dockerd --config-file="$file" -H fd:// --pidfile=/dev/null/none 2>&1 | grep "unable to configure the Docker daemon"
