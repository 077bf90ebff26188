#!/bin/sh
# Makes /proc/sys writable now and at every boot.
set -eu
cat >/etc/systemd/system/test-proc-sys.service <<'END'
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=mount -o remount,rw /proc/sys
[Install]
WantedBy=sysinit.target
END
systemctl enable --now test-proc-sys.service
