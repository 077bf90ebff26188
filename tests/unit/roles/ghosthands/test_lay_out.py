"""What the role lays out: new or old, never half, and nothing of what it was before."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from lay_out import found, give, lay_out, main, place


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


def test_a_file_is_made_and_the_same_again_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.service"
    assert place(file, "[Unit]\n")
    assert file.read_text() == "[Unit]\n"
    assert file.stat().st_mode & 0o777 == 0o644
    assert not place(file, "[Unit]\n")
    assert list(tmp_path.iterdir()) == [file]


def test_what_begins_as_a_program_can_be_run(tmp_path: Path) -> None:
    place(tmp_path / "a", "#!/bin/sh\n")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    "spoil", [lambda file: file.write_text("other"), lambda file: file.chmod(0o600)], ids=["text", "mode"]
)
def test_what_somebody_changed_is_put_right(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    file = tmp_path / "a"
    place(file, "wanted")
    spoil(file)
    assert place(file, "wanted")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("wanted", 0o644)


def test_a_folder_is_made_with_its_parents_and_its_mode_is_put_right(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    assert give(folder, os.getuid())
    assert not give(folder, os.getuid())
    folder.chmod(0o700)
    assert give(folder, os.getuid())
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_look_says_what_would_be_made_and_makes_nothing(tmp_path: Path) -> None:
    assert lay_out({"a.py": ""}, tmp_path / "package", make=False)
    assert place(tmp_path / "file", "text", make=False)
    assert give(tmp_path / "folder", os.getuid(), make=False)
    assert list(tmp_path.iterdir()) == []


def test_a_description_is_laid_out_whole_and_each_thing_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "told.json"
    folder, file = tmp_path / "folder", tmp_path / "folder/file"
    told.write_text(
        json.dumps({"folders": [{"path": str(folder), "owner": os.getuid()}], "files": {str(file): ["one", "two", ""]}})
    )
    main(str(told), make=True)
    assert capsys.readouterr().out.split() == [str(folder), str(file)]
    assert file.read_text() == "one\ntwo\n"
    main(str(told), make=True)
    assert capsys.readouterr().out.strip() == ""
