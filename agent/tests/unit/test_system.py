"""What the system says of its disks and of its start."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import Unavailable
from ghosthands_agent.system import LinuxSystem

ROOMY = {"f_bavail": 1 << 20, "f_frsize": 4096, "f_files": 1000, "f_favail": 900}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.project.mkdir(parents=True)
    paths.cloud_init_result.parent.mkdir(parents=True)
    return paths


@pytest.mark.parametrize(
    ("found", "full"),
    [({}, False), ({"f_bavail": 10}, True), ({"f_favail": 3}, True), ({"f_files": 0, "f_favail": 0}, False)],
    ids=["room", "no bytes", "no inodes", "inodes without a number"],
)
def test_a_disk_is_full_without_bytes_or_without_inodes(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, found: dict[str, int], full: bool
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(**{**ROOMY, **found}))
    assert LinuxSystem(paths).full_disk() == (str(paths.project) if full else None)


def test_a_disk_that_cannot_be_read_is_unavailable(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "statvfs", fail)
    with pytest.raises(Unavailable, match="EACCES"):
        LinuxSystem(paths).full_disk()


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (None, []),
        ('{"v1": {"datasource": "DataSourceEc2Local", "errors": []}}', []),
        ('{"v1": {"errors": ["write_files: no space"]}}', ["write_files: no space"]),
        ("{", []),
        ("[]", []),
    ],
)
def test_cloud_inits_errors_are_those_of_its_result(paths: Paths, text: str | None, errors: list[str]) -> None:
    if text is not None:
        paths.cloud_init_result.write_text(text)
    assert LinuxSystem(paths).setup_errors() == errors


def test_a_long_error_of_cloud_init_is_cut(paths: Paths) -> None:
    paths.cloud_init_result.write_text('{"v1": {"errors": ["%s"]}}' % ("x" * 5000))
    (error,) = LinuxSystem(paths).setup_errors()
    assert 100 < len(error) < 1000
