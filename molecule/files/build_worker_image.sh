#!/usr/bin/env bash
# Builds a worker image from /srv/worker and the host's Python, pushes it, writes its name to /srv/worker_image and removes it locally.
set -euo pipefail
image=127.0.0.1:5000/ghosthands:1

# The look-alike's own 3.11 has another name until the role ghosthands has installed the package.
for python in /usr/libexec/platform-python /usr/bin/python3.11; do [ ! -x "$python" ] || break; done

root=$(mktemp -d)
# Threads load libgcc_s when they end.
for program in "$python" /usr/bin/curl /usr/lib/python3.11/lib-dynload/*.so $(ldconfig -p | sed -n '/libgcc_s/s/.*=> //p'); do
    echo "$program"
    ldd "$program" | grep -o '/[^ ]*' || true
done | sort -u | xargs tar --dereference --create | tar --extract --directory "$root"
mkdir -p "$root/usr/lib" "$root/srv" "$root/usr/bin"
install -d -m 1777 "$root/tmp"
tar --create --directory /usr/lib --exclude=__pycache__ --exclude=test python3.11 | tar --extract --directory "$root/usr/lib"
cp -r /srv/worker "$root/srv/"
[ -e "$root/usr/bin/python3.11" ] || ln -s "$python" "$root/usr/bin/python3.11"
cp /srv/worker/bun "$root/usr/bin/bun"
mkdir "$root/dockerstartup"
cp /srv/worker/entrypoint "$root/dockerstartup/entrypoint"
printf '%s\n' '#!/usr/bin/python3.11' 'print("a second worker", flush=True)' >"$root/dockerstartup/custom_startup.sh"
chmod 755 "$root/dockerstartup/custom_startup.sh"

tar --create --directory "$root" . | docker import --change 'ENTRYPOINT ["/dockerstartup/entrypoint"]' - "$image"
docker push --quiet "$image" >&2
docker image inspect --format '{{index .RepoDigests 0}}' "$image" >/srv/worker_image
docker image rm "$(cat /srv/worker_image)" "$image" >&2
rm -r "$root"
