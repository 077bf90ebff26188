# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's variables with the playbooks' defaults, and an account that answers expected requests only."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"


@pytest.fixture
def settings() -> dict[str, Any]:
    """Every `fleet_*` variable with its default."""
    raw: dict[str, Any] = yaml.safe_load((PLAYBOOKS / "group_vars" / "all.yml").read_text(encoding="utf-8"))
    for name in ("fleet_name", "fleet_secret_name"):
        value, written = raw[name], f"{{{{ {name} }}}}"
        raw = {k: v.replace(written, value) if isinstance(v, str) else v for k, v in raw.items()}
    return raw


class Answers:
    """An account: `call` returns the response that a test expects, fails for every other request, and records all."""

    def __init__(self) -> None:
        self.expected: dict[tuple[str, frozenset[tuple[str, str]]], Any] = {}
        self.asked: list[str] = []

    def on(self, operation: str, answer: Any, **request: Any) -> Answers:
        """Expect exactly this request. A response of None means an error code in `absent`."""
        self.expected[operation, _exactly(request)] = answer
        return self

    def call(
        self, _service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **request: Any
    ) -> Any:
        """As Account.call."""
        self.asked.append(operation)
        which = (operation, _exactly(request))
        assert which in self.expected, f"unexpected request: {operation}({request})"
        answer = self.expected[which]
        assert answer is not None or absent, f"{operation} would fail: absence was not expected"
        return answer.get(key) if key and answer is not None else answer

    def start(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As Account.start, at once."""
        done: Future[Any] = Future()
        try:
            done.set_result(function(*arguments))
        except Exception as error:  # raised by result(), as from a thread
            done.set_exception(error)
        return done


def _exactly(request: dict[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((name, repr(value)) for name, value in request.items())


@pytest.fixture
def answers() -> Answers:
    """An account that expects no request yet."""
    return Answers()
