"""The builder of test images: names, versions, scripts, errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.images import __main__ as images
from tools.images import al2023, debian, rpms


@pytest.fixture
def recipe_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("GH_TEST_IMAGE", raising=False)
    monkeypatch.setattr(images, "HERE", tmp_path)
    for name in ("__main__.py", "debian.py", "debian_instance.py", "al2023.py", "rpms.py"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / "al2023/docker").mkdir(parents=True)
    (tmp_path / "al2023/docker/unit").write_text("unit", encoding="utf-8")
    return tmp_path


def test_the_recipes_files_determine_the_images_name(recipe_folder: Path) -> None:
    before = images.image_name("al2023")
    assert images.image_name("al2023") == before
    (recipe_folder / "al2023/docker/unit").write_text("another", encoding="utf-8")
    assert images.image_name("al2023") != before


def test_a_change_of_one_recipe_does_not_rename_another_image(recipe_folder: Path) -> None:
    before = images.image_name("debian12")
    (recipe_folder / "al2023.py").write_text("another", encoding="utf-8")
    assert images.image_name("debian12") == before


def test_gh_test_image_replaces_al2023_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TEST_IMAGE", "amazonlinux:2023")
    assert images.image_name("al2023") == "amazonlinux:2023"
    assert images.image_name("debian12").startswith("gh-test-debian12:")


def test_the_look_alike_is_labelled_as_one() -> None:
    assert "lookalike" in images.image_name("al2023")
    assert "look-alike" in (al2023.HERE / "os-release").read_text(encoding="utf-8")
    assert "look-alike" in (al2023.HERE / "amazonlinux.repo").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("debian_version", "rpm_version"),
    [
        ("20.10.24+dfsg1-1+deb12u1", "20.10.24"),
        ("2:21.1.7-3+deb12u9", "21.1.7"),
        ("1.6.20~ds1-1", "1.6.20"),
        ("1.4.3", "1.4.3"),
        ("6.0-2", "6.0"),
    ],
)
def test_debian_versions_are_converted_to_rpm_versions(debian_version: str, rpm_version: str) -> None:
    assert rpms.version(debian_version) == rpm_version


def test_presets_are_applied_at_the_first_installation_only() -> None:
    scripts = rpms.Names(("x",), units=("x.service",)).scripts()
    assert "%post\n[ $1 -ne 1 ] || systemctl --no-reload preset x.service" in scripts


def test_an_error_names_the_command_and_its_output() -> None:
    with pytest.raises(debian.BuildError, match=r"(?s)sh -c .* exited with 3:\nno room"):
        debian.run("sh", "-c", "echo no room >&2; exit 3")
