#!/bin/sh
# A disk guard that finds the disk too full keeps an image that was just pulled, removes it at the next run if nothing uses it, and never removes the baked one.
set -eu
STATE_DIRECTORY=$(mktemp -d)
export STATE_DIRECTORY
guard() { ! ghosthands-agent disk-guard 0; }
guard
tar --create --file /tmp/nothing.tar --files-from /dev/null
docker import /tmp/nothing.tar unused:1
guard
[ -n "$(docker image ls --quiet unused)" ]
guard
[ -z "$(docker image ls --quiet unused)" ]
docker image inspect "$(cat /usr/share/ghosthands/baked-image)" >/dev/null
