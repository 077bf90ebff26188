# Run by mmdebstrap within the new root, once its packages are there: makes a Debian behave like a fresh EC2 image.
set -eu

# Cloud-init's own configuration, in which EC2's default user differs from Debian's. On Amazon Linux 2023 it is ec2-user
# with uid 1000; made here already, so that the uid is this whatever user data adds.
useradd --create-home --uid 1000 --shell /bin/bash --groups adm,systemd-journal --comment 'EC2 Default User' ec2-user
cat >/etc/cloud/cloud.cfg.d/10-ec2.cfg <<'END'
system_info:
  default_user:
    name: ec2-user
    gecos: EC2 Default User
    lock_passwd: true
    groups: [adm, systemd-journal]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
# As on Amazon Linux 2023; an RSA key would cost up to a second of each first boot.
ssh_genkeytypes: [ed25519, ecdsa]
# The mirrors of the machine that built this image stay as they are.
apt_preserve_sources_list: true
END

# What belongs to one machine is made at its first boot.
rm -f /etc/ssh/ssh_host_*_key*
: >/etc/machine-id
rm -f /etc/resolv.conf /var/lib/dbus/machine-id

# Hardware, clocks and updates are the host's.
systemctl mask --quiet systemd-udevd.service systemd-udev-trigger.service systemd-timesyncd.service systemd-networkd.service \
    systemd-resolved.service networking.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer
systemctl set-default --quiet multi-user.target

rm -rf /var/cache/apt/*.bin /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
