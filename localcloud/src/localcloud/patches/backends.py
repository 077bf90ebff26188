"""Where moto keeps the state of its services: separately for every world, so that several worlds run in one process.

moto holds the state of a service in a module global (``ec2_backends``, ``iam_backends``, ...), a ``BackendDict`` of
account -> region -> backend, which its code reads from everywhere. `keep_apart` makes every ``BackendDict`` of the
process show the state of the world that the running thread has entered (a context variable), and raise
``LookupError`` if it has entered none: a thread that forgets to enter fails, instead of reading or writing another
world's state.

A thread enters a world with that world's lock held (``World.entered``), so that the state of a world has one user at a
time, while different worlds answer at the same time.
"""

from __future__ import annotations

import contextlib
import copy
import copyreg
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from moto.core.base_backend import AccountSpecificBackend, BackendDict, BaseBackend

#: (region, account_id=...) -> a backend, as moto makes them.
Factory = Callable[..., BaseBackend]
#: A copy of everything: service -> account -> region -> backend. Services go by the id of moto's ``BackendDict``.
State = dict[str, dict[str, dict[str, BaseBackend]]]

_CURRENT: ContextVar[Backends] = ContextVar("the backends of the world that this thread has entered")
#: What a ``BackendDict`` is asked for, by moto and by us.
_METHODS = (
    *("__contains__", "__delitem__", "__getitem__", "__iter__", "__len__", "__setitem__"),
    *("clear", "get", "items", "keys", "pop", "setdefault", "update", "values"),
)


class _Accounts(dict[str, Any]):
    """The state of one service in one world: account -> region -> backend, each made when it is first asked for."""

    def __init__(self, holder: Any, factory: Factory) -> None:
        super().__init__()
        self._holder, self._factory = holder, factory

    def __missing__(self, account: str) -> AccountSpecificBackend[Any]:
        made: AccountSpecificBackend[Any] = AccountSpecificBackend(
            service_name=self._holder.service_name,
            account_id=account,
            backend=self._factory,  # type: ignore[arg-type]  # moto only ever calls it
            use_boto3_regions=self._holder._use_boto3_regions,
            additional_regions=self._holder._additional_regions,
        )
        self[account] = made
        return made


class Backends:
    """The state of all services in one world.

    Args:
        factories: of services whose backends are ours: moto's ``BackendDict``, and what makes a backend.
    """

    def __init__(self, factories: list[tuple[Any, Factory]]) -> None:
        self._factories = {holder._id: factory for holder, factory in factories}
        self._accounts: dict[str, _Accounts] = {}

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Let moto see this state in this thread; worlds may be entered within each other."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def of(self, holder: Any) -> _Accounts:
        """The accounts of a service."""
        if holder._id not in self._accounts:
            self._accounts[holder._id] = _Accounts(holder, self._factories.get(holder._id, holder.backend))
        return self._accounts[holder._id]

    def copied(self) -> State:
        """A deep copy of every backend in use. All are copied at once, so that what they share stays shared."""
        return copy.deepcopy(
            {
                id: {account: dict(regions) for account, regions in accounts.items()}
                for id, accounts in self._accounts.items()
            }
        )

    def restore(self, state: State) -> None:
        """Put everything back as it was when ``copied``; the copy stays usable."""
        fresh = copy.deepcopy(state)
        self.clear()
        for id, accounts in fresh.items():
            for account, regions in accounts.items():
                self._accounts[id][account].update(regions)

    def clear(self) -> None:
        """Forget everything; each backend is made again when it is next asked for."""
        for accounts in self._accounts.values():
            for regions in accounts.values():
                regions.clear()


def keep_apart() -> None:
    """Let every ``BackendDict`` of this process show the state of the world that the running thread has entered."""
    for name in _METHODS:
        setattr(BackendDict, name, _delegate(name))


def _delegate(name: str) -> Callable[..., Any]:
    def method(holder: Any, *arguments: Any, **options: Any) -> Any:
        return getattr(_CURRENT.get().of(holder), name)(*arguments, **options)

    return method


def _new_lock(lock: Any) -> Any:
    """How to copy a lock: by a new one. moto's ECR holds one, and a deep copy fails without this."""
    return (threading.RLock if isinstance(lock, type(threading.RLock())) else threading.Lock), ()


for _kind in (type(threading.Lock()), type(threading.RLock())):
    copyreg.pickle(_kind, _new_lock)
