# Runs as process 1 of an instance, before its init: what a real machine's firmware, kernel and network settle. By itself it writes
# to /run only, which no image keeps, and takes nothing from the base but sh, mount, tar and systemd.
# Arguments: address and port under which the network's gateway answers for the cloud's API; where an image has its volumes.
set -eu

# Docker inside the instance sets its own sysctls.
mount -o remount,rw /proc/sys

# What was volumes on the machine of which this image was made becomes this machine's volumes.
if [ -e "$3" ]; then
    tar --extract --file "$3" --directory / --numeric-owner --xattrs --xattrs-include='*'
    rm "$3"
fi

# Amazon's package asks dockerd for containers with 32768:65536 open files. Where this machine allows fewer, nobody in it may
# raise the limit (setrlimit(2): CAP_SYS_RESOURCE), and no container would start: dockerd gets what the machine allows.
cat >/run/localcloud-docker-options <<'END'
limit=$(ulimit -H -n) fitted=
[ -r /etc/sysconfig/docker ] && [ "$limit" != unlimited ] || exit 0
. /etc/sysconfig/docker
for word in ${OPTIONS-}; do
    case $word in
    *nofile=*)
        numbers=${word##*nofile=}
        soft=${numbers%%:*} hard=${numbers##*:}
        [ "$hard" -le "$limit" ] || hard=$limit
        [ "$soft" -le "$hard" ] || soft=$hard
        word=${word%"$numbers"}$soft:$hard
        ;;
    esac
    fitted="$fitted $word"
done
echo "OPTIONS=\"${fitted# }\"" >/run/localcloud-docker.env
END
mkdir -p /run/systemd/system/docker.service.d
cat >/run/systemd/system/docker.service.d/localcloud.conf <<'END'
[Service]
ExecStartPre=/bin/sh /run/localcloud-docker-options
EnvironmentFile=-/run/localcloud-docker.env
END

# The API listens on the host's loopback; under the same address and port it answers here too.
units=/run/systemd/system
mkdir -p "$units/sockets.target.wants"
cat >"$units/localcloud-api.socket" <<END
[Unit]
Description=The cloud's API on this machine's loopback
[Socket]
ListenStream=127.0.0.1:$2
END
cat >"$units/localcloud-api.service" <<END
[Unit]
Description=The cloud's API, handed on to the network's gateway
[Service]
ExecStart=/usr/lib/systemd/systemd-socket-proxyd $1:$2
END
ln -sf ../localcloud-api.socket "$units/sockets.target.wants/"

exec /sbin/init
