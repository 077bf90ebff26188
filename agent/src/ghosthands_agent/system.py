"""The system's disks and how its start went: what makes an instance unfit although its worker may run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from .files import error_name
from .paths import Paths
from .ports import Unavailable

#: Less than this and neither a job's files nor the agent's own can be written; disk-guard removes images long before.
LEAST_BYTES, LEAST_INODES = 64 << 20, 100
TEXT_LIMIT = 300


class LinuxSystem:
    """ports.System."""

    def __init__(self, paths: Paths) -> None:
        self._result = paths.cloud_init_result
        self._places = (paths.project, paths.docker_data)

    def full_disk(self) -> str | None:
        """See ports.System. A file system without a fixed number of inodes reports 0 of them, and is never full."""
        for place in self._places:
            try:
                found = os.statvfs(place)
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise Unavailable(f"statvfs {place}", error_name(problem)) from None
            no_inodes = found.f_files > 0 and found.f_favail < LEAST_INODES
            if found.f_bavail * found.f_frsize < LEAST_BYTES or no_inodes:
                return str(place)
        return None

    def setup_errors(self) -> Sequence[str]:
        """See ports.System. There is no file before cloud-init is done, nor on a host without it."""
        try:
            errors = json.loads(self._result.read_bytes())["v1"]["errors"]
            return [str(error)[:TEXT_LIMIT] for error in errors]
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise Unavailable("read result.json", error_name(problem)) from None
        except (ValueError, LookupError, TypeError):
            return []
