"""The test images' builder, as far as it is pure: names by content, versions, scripts, one clear error."""

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


def test_an_image_is_named_by_what_its_recipe_says(recipe_folder: Path) -> None:
    before = images.image_name("al2023")
    assert images.image_name("al2023") == before
    (recipe_folder / "al2023/docker/unit").write_text("another", encoding="utf-8")
    assert images.image_name("al2023") != before


def test_one_recipe_does_not_rename_the_others_image(recipe_folder: Path) -> None:
    before = images.image_name("debian12")
    (recipe_folder / "al2023.py").write_text("another", encoding="utf-8")
    assert images.image_name("debian12") == before


def test_a_true_image_stands_for_amazon_linux_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TEST_IMAGE", "amazonlinux:2023")
    assert images.image_name("al2023") == "amazonlinux:2023"
    assert images.image_name("debian12").startswith("gh-test-debian12:")


def test_the_look_alike_says_that_it_is_one() -> None:
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
def test_a_version_of_debians_is_one_that_rpm_takes(debian_version: str, rpm_version: str) -> None:
    assert rpms.version(debian_version) == rpm_version


def test_a_units_preset_counts_at_the_first_installation_only() -> None:
    scripts = rpms.Names(("x",), units=("x.service",)).scripts()
    assert "%post\n[ $1 -ne 1 ] || systemctl --no-reload preset x.service" in scripts


def test_a_package_without_units_or_group_has_no_scripts() -> None:
    assert rpms.Names(("x",)).scripts() == ""


def test_a_command_that_fails_is_named_with_its_last_words() -> None:
    with pytest.raises(debian.BuildError, match=r"(?s)sh -c .* ended with 3:\nno room"):
        debian.run("sh", "-c", "echo no room >&2; exit 3")
