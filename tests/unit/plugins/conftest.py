# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's variables as the playbooks' defaults have them, and an account that answers only what it was told."""

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
    raw = yaml.safe_load((PLAYBOOKS / "group_vars" / "all.yml").read_text(encoding="utf-8"))
    return {k: v.replace("{{ fleet_name }}", raw["fleet_name"]) if isinstance(v, str) else v for k, v in raw.items()}


class Answers:
    """An account: `call` answers what it was told to (`key` is looked up in it), refuses every other question, and remembers all."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, frozenset[tuple[str, str]]], Any] = {}
        self.asked: list[str] = []

    def on(self, operation: str, answer: Any, **request: Any) -> Answers:
        """Tell what to answer to `operation` with exactly this request. None: AWS says it is absent."""
        self.told[operation, _exactly(request)] = answer
        return self

    def call(
        self, _service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **request: Any
    ) -> Any:
        """As Account.call."""
        self.asked.append(operation)
        question = (operation, _exactly(request))
        assert question in self.told, f"nobody told what {operation}({request}) answers"
        answer = self.told[question]
        assert answer is not None or absent, f"{operation} would fail: absence was not expected"
        return answer.get(key) if key and answer is not None else answer

    def start(self, question: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As Account.start, at once."""
        done: Future[Any] = Future()
        try:
            done.set_result(question(*arguments))
        except Exception as problem:  # what asks for the result gets it, as from a thread
            done.set_exception(problem)
        return done


def _exactly(request: dict[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((name, repr(value)) for name, value in request.items())


@pytest.fixture
def answers() -> Answers:
    """An account that nobody has told anything yet."""
    return Answers()
