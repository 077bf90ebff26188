#!/usr/bin/env bash
# A project with the desktop: Compose refuses it without a password. With one the image's entrypoint runs and sets the display, but does not start
# what it would start beside the worker. The other services do not run the entrypoint.
set -euo pipefail
cd /srv/desktop
cp /opt/ghosthands/.env .env
run() { docker compose --file docker-compose.prod.yml run --rm --no-TTY --no-deps "$1" /usr/bin/python3.11 -c "import os; e = os.environ.get; print($2)"; }

! refused=$(run worker 1 2>&1)
[[ $refused == *"required variable VNC_PW is missing a value"* ]]

echo "VNC_PW='secret'" >>.env
address=$(sed -n "s/^EC2_IP='\(.*\)'/\1/p" .env)
[ "$(run worker 'e("DISPLAY"), e("VNC_PW"), e("KASM_SESSION_URL")')" = ":1 secret https://$address:6901" ]
[ "$(run api 'e("DISPLAY")')" = None ]
[ "$(docker run --rm "$(cat /usr/share/ghosthands/baked-image)" /usr/bin/python3.11 -c 0)" = 'a second worker' ] # if nothing hides it
