"""The whole account as a value: copied, put back, begun anew."""

from __future__ import annotations

import copy
import copyreg
import threading
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend
from moto.ec2.models import ec2_backends

from localcloud import seed

#: Per service: its holder and, by account and region, a copy of what it holds.
State = list[tuple[Any, dict[str, dict[str, BaseBackend]]]]


def _new_lock(lock: Any) -> Any:
    """How to copy a lock: by a new one. moto's ECR holds one, and a deep copy fails without this."""
    return (threading.RLock if isinstance(lock, type(threading.RLock())) else threading.Lock), ()


for _kind in (type(threading.Lock()), type(threading.RLock())):
    copyreg.pickle(_kind, _new_lock)


def copied() -> State:
    """A deep copy of every backend in use. All are copied at once, so that what they share stays shared."""
    live = [
        (backend, {account: dict(regions.items()) for account, regions in backend.items()}) for backend in _in_use()
    ]
    copies = copy.deepcopy([accounts for _, accounts in live])
    return [(backend, accounts) for (backend, _), accounts in zip(live, copies, strict=True)]


def restore(state: State) -> None:
    """Put the account back as it was when ``copied``; the copy stays usable."""
    fresh = copy.deepcopy([accounts for _, accounts in state])
    _clear()
    for (backend, _), accounts in zip(state, fresh, strict=True):
        for account, regions in accounts.items():
            backend[account].update(regions)


def _in_use() -> list[Any]:
    """moto's list of services that hold anything."""
    holder: Any = BackendDict
    return list(holder._instances)


def reset() -> None:
    """The account as it is right after start."""
    _clear()
    if ec2_backends[seed.ACCOUNT][seed.REGION].default_vpc is None:  # builds the seeds
        raise RuntimeError("the seeded network is missing: install() has not run")


def _clear() -> None:
    """Forget everything; moto builds each backend anew when it is next asked for."""
    for backend in _in_use():
        for regions in backend.values():
            regions.clear()
