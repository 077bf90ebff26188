# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on a fleet's hosts, by the way that fleet_host_checks names: SSH or Run Command."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, ec2
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts import run_command, ssh
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import HOST_SECONDS, Output

SSH_CLIENTS = 32  # at once; each waits for its host rather than works
KNOWN_HOSTS = "~/.ssh/ghosthands_known_hosts"


class HostAccess:
    """The hosts of one group.

    :param by: ssh or ssm.
    :param key_file: the private key for SSH; empty: the one that the client chooses.
    """

    def __init__(self, account: Account, group_name: str, by: str, key_file: str) -> None:
        self._call, self._group_name, self._by, self._key_file = account.call_now, group_name, by, key_file
        self._addresses: dict[str, tuple[str, ...]] = {}

    def instances(self, *states: str) -> list[str]:
        """The group's instances in one of these lifecycle states, all of them without any. Raises AwsError."""
        group = autoscaling.group(self._call, self._group_name)
        members = group.instances if group else ()
        ids = sorted(one.id for one in members if not states or one.state in states)
        found = ec2.instances(self._call, {ec2.GROUP_TAG: self._group_name}) if ids else {}
        self._addresses = {id: found[id].addresses if id in found else () for id in ids}
        return ids

    def ask(self, instances: Sequence[str], command: str, seconds: float = HOST_SECONDS) -> dict[str, Output]:
        """instance -> what the command prints there as root. A problem is part of the answer, never an exception.

        :param instances: of those that the last call of `instances` found.
        :param seconds: for SSH; Run Command has run_command's own limit.
        """
        if self._by == "ssm":
            return run_command.run_doctor(self._call, list(instances), time.monotonic, time.sleep, command)
        known_hosts = Path(KNOWN_HOSTS).expanduser()
        known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ThreadPoolExecutor(SSH_CLIENTS) as pool:
            running = {
                one: pool.submit(
                    ssh.run_doctor, one, self._addresses.get(one, ()), self._key_file, known_hosts, seconds, command
                )
                for one in instances
            }
            return {one: output.result() for one, output in running.items()}
