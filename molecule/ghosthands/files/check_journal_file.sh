#!/usr/bin/env bash
# The journal's lines are in the file that the CloudWatch agent reads, each once, after a start and after a restart.
set -euo pipefail
file=/var/log/ghosthands/journal.log
boots() { grep --count 'ghosthands-boot.service info event=boot_completed' $file; }
disk_guard_runs() { grep --count 'Finished ghosthands-disk-guard.service' $file; }
wait_until() {
    for _ in $(seq 100); do ! "$@" || return 0; sleep 0.2; done
    return 1
}
every_boot_is_there_once() { [ "$(boots)" = "$(journalctl --unit ghosthands-boot.service --output cat | grep --count event=boot_completed)" ]; }
disk_guard_ran() { [ "$(disk_guard_runs)" != "$before" ]; }

systemctl start ghosthands-journal.service
wait_until every_boot_is_there_once
before=$(disk_guard_runs || true)
systemctl restart ghosthands-journal.service
systemctl start ghosthands-disk-guard.service
wait_until disk_guard_ran
every_boot_is_there_once
grep --fixed-strings "\"$file\"" /opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.d/ghosthands.json
