"""What docs/localcloud.md claims to be tested, is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_test_that_the_table_names_exists() -> None:
    named = set(re.findall(r"\btest_\w+", (ROOT / "docs/localcloud.md").read_text(encoding="utf-8")))
    files = [*Path(__file__).parent.glob("test_*.py"), *(ROOT / "localcloud/tests/containers").glob("test_*.py")]
    written = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}
    assert len(named) > 40
    assert not sorted(named - written)
