"""No circle of imports: not in localcloud, not among the plugins, not in the agent.

An import inside a function counts, for it only hides a circle. One under `if TYPE_CHECKING` does not: it is never run.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.house import repository
from tests.house.imports import imports, module


def imported_modules(pattern: str) -> dict[str, set[str]]:
    """Module -> the modules that it imports, of the files that match."""
    files = {module(file): file for file in repository.matching(pattern)}
    return {name: set(_targets(name, file, files)) for name, file in files.items()}


def _targets(importer: str, file: str, modules: Mapping[str, str]) -> set[str]:
    """`from a import b` is of the module a.b where there is one, else of a."""
    named = (name for _line, name in imports(file, run_time_only=True))
    found = {name if name in modules else name.rpartition(".")[0] for name in named}
    return found & modules.keys() - {importer}


@pytest.mark.parametrize("pattern", ["localcloud/src/*.py", "plugins/*.py", "agent/src/*.py"])
def test_no_modules_import_each_other_in_a_circle(pattern: str) -> None:
    graph = imported_modules(pattern)
    assert graph
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))
