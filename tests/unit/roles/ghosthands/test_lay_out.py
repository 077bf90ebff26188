"""The agent's source as a package: new or old, never half, and nothing of what it was before."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from lay_out import found, lay_out


def test_a_package_is_made_with_its_byte_code(tmp_path: Path) -> None:
    package = tmp_path / "package"
    assert lay_out({"__init__.py": "", "a.py": "A = 1\n"}, package)
    assert found(package) == {"__init__.py": "", "a.py": "A = 1\n"}
    assert Path(importlib.util.cache_from_source(str(package / "a.py"))).exists()


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    lay_out({"a.py": "A = 1\n"}, tmp_path / "package")
    assert not lay_out({"a.py": "A = 1\n"}, tmp_path / "package")


def test_a_file_that_is_no_more_is_gone(tmp_path: Path) -> None:
    lay_out({"a.py": "", "b.py": ""}, tmp_path / "package")
    assert lay_out({"a.py": ""}, tmp_path / "package")
    assert [path.name for path in tmp_path.rglob("*.py")] == ["a.py"]


def test_what_a_run_left_that_was_cut_short_is_in_nobodys_way(tmp_path: Path) -> None:
    for left in ("package.new", "package.old"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "half.py").write_text("")
    assert lay_out({"a.py": ""}, tmp_path / "package")
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


def test_a_name_that_leads_elsewhere_is_refused_and_the_package_stays(tmp_path: Path) -> None:
    lay_out({"a.py": ""}, tmp_path / "package")
    with pytest.raises(ValueError, match=r"\.\./b\.py"):
        lay_out({"../b.py": ""}, tmp_path / "package")
    assert found(tmp_path / "package") == {"a.py": ""}
