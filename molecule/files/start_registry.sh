#!/bin/sh
# Starts the registry that worker_image.yml has copied, on 127.0.0.1:5000 and at every boot.
set -eu
mkdir -p /srv/registry
cat >/srv/registry.yml <<'END'
version: 0.1
storage: {filesystem: {rootdirectory: /srv/registry}}
http: {addr: "127.0.0.1:5000"}
END
cat >/etc/systemd/system/test-registry.service <<'END'
[Service]
ExecStart=/usr/local/bin/docker-registry serve /srv/registry.yml
[Install]
WantedBy=multi-user.target
END
systemctl enable --now test-registry.service
timeout 20 sh -c 'until curl --silent --output /dev/null http://127.0.0.1:5000/v2/; do sleep 0.2; done'
