# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which job an instance's worker has, by the worker registry's database: for the progress of a drain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet import postgres

READ_SECONDS = 5


class InstanceJobs:
    """The jobs of instances.

    :param settings: every fleet_* variable.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._table, self._unread = settings["fleet_registry_table"], ""
        self._where: Mapping[str, str] = {}
        if not settings["fleet_registry_dsn"]:
            self._unread = "fleet_registry_dsn is empty"
            return
        try:
            parts = {"sslmode": settings["fleet_registry_sslmode"] or None}
            self._where = postgres.parameters(settings["fleet_registry_dsn"], parts)
        except postgres.RegistryError:
            self._unread = "fleet_registry_dsn is not valid"

    def job(self, instance: str) -> str:
        """Its worker's job with the job's status; empty: none, or not known."""
        return ", ".join(self._claimed(instance) or ())

    def sentence(self, instance: str) -> str:
        """The same for people: `job 4711 (running)`, `no job`, or why that is not known."""
        claimed = self._claimed(instance)
        return (
            f"job unknown ({self._unread})" if claimed is None else f"job {', '.join(claimed)}" if claimed else "no job"
        )

    def _claimed(self, instance: str) -> tuple[str, ...] | None:
        """None: not known. A database that fails once is not asked again: its answer is not worth a wait each time."""
        if self._unread:
            return None
        try:
            return postgres.jobs_of(self._where, self._table, instance, READ_SECONDS).claimed
        except postgres.RegistryError:
            self._unread = "the registry could not be read"
            return None
