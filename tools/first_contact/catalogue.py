"""All probes in their order: those of the group share one, and the last empties the bucket of calls."""

from __future__ import annotations

from tools.first_contact import bucket, group, iam, reading
from tools.first_contact.probe import REGISTERED, Probe

_MODULES = [module.__name__ for module in (reading, group, iam, bucket)]
PROBES: tuple[Probe, ...] = tuple(sorted(REGISTERED, key=lambda one: _MODULES.index(one.look.__module__)))
