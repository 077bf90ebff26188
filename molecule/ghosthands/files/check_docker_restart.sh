#!/bin/sh
# The worker's process is the same before and after a restart of Docker Engine.
set -eu
worker() { docker inspect --format '{{.State.Pid}} {{.State.StartedAt}}' ghosthands-worker-1; }
before=$(worker)
systemctl restart docker.service
timeout 60 sh -c 'until [ "$(systemctl show --property SubState --value ghosthands-boot.service)" = exited ]; do sleep 0.5; done'
[ "$before" = "$(worker)" ]
