#!/usr/bin/env bash
# A program in boot's sandbox may write where the drain guard goes, and sees which socket of the worker's process listens.
set -euo pipefail
pid=$(docker inspect --format '{{.State.Pid}}' ghosthands-worker-1)
unit=/run/systemd/system/test-sandbox.service
{
    printf '%s\n' '[Service]' Type=oneshot "ExecStart=/bin/sh -c 'ls -l /proc/$pid/fd | grep -q socket && grep -q :0C1D /proc/net/tcp'" \
        'ExecStart=/bin/sh -c "mkdir -p /opt/ghosthands/worker-guard && touch /opt/ghosthands/worker-guard/test && rm /opt/ghosthands/worker-guard/test"'
    sed -n '/CapabilityBoundingSet/,/UMask/p' /etc/systemd/system/ghosthands-boot.service
} >$unit
systemctl daemon-reload
systemctl start test-sandbox.service
