#!/bin/sh
# proxy_metadata.sh METADATA API: from the next boot on, 169.254.169.254:80 is the metadata service at METADATA, and 127.0.0.1:5566 localcloud's API at API.
set -eu
cd /etc/systemd/system
proxy() { # NAME LISTEN TARGET
    printf '%s\n' '[Socket]' "ListenStream=$2" FreeBind=yes '[Install]' WantedBy=sockets.target >"test-$1.socket"
    printf '%s\n' '[Service]' "ExecStart=/usr/lib/systemd/systemd-socket-proxyd $3" >"test-$1.service"
}
proxy metadata 169.254.169.254:80 "$1"
proxy localcloud 127.0.0.1:5566 "$2"
cat >test-metadata-address.service <<'END'
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=ip address add 169.254.169.254/32 dev lo
[Install]
WantedBy=sysinit.target
END
systemctl enable test-metadata-address.service test-metadata.socket test-localcloud.socket
