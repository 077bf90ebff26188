"""What `make real-worker` says where something is missing, and what it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.real_worker.__main__ import main
from tools.real_worker.source import DEPENDENCIES, FIRST_MIGRATIONS, LAUNCHER, MIGRATIONS, NotUsable, Source
from tools.real_worker.worker import SLOW_JOB, command


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout of the worker, with its dependencies installed."""
    for folder in (LAUNCHER.parent, MIGRATIONS, *(Path("node_modules") / name for name in DEPENDENCIES)):
        (tmp_path / folder).mkdir(parents=True)
    for file in (LAUNCHER, *map(Path, FIRST_MIGRATIONS), MIGRATIONS / "002_b.sql", MIGRATIONS / "001_a.sql"):
        (tmp_path / file).write_text("")
    return tmp_path


def test_a_checkout_has_migrations_in_order_and_a_version(checkout: Path) -> None:
    source = Source.at(str(checkout))
    assert [file.name for file in source.migrations] == [*FIRST_MIGRATIONS, "001_a.sql", "002_b.sql"]
    (checkout / LAUNCHER).write_text("changed")
    assert Source.at(str(checkout)).version != source.version


def test_an_empty_source_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([""]) == 2
    assert capsys.readouterr().err == (
        "real-worker: SOURCE is empty: make real-worker SOURCE=/path/to/a/checkout/of/the/worker\n"
    )


def test_another_folder_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(NotUsable, match=r"is no checkout of the worker: it has no .*workerLauncher\.ts"):
        Source.at(str(tmp_path))


def test_missing_dependencies_are_named(checkout: Path) -> None:
    (checkout / "node_modules/pg-boss").rmdir()
    with pytest.raises(NotUsable, match="has no pg-boss installed: run `bun install` there"):
        Source.at(str(checkout))


def test_without_an_override_of_the_command_the_worker_starts_as_in_the_image() -> None:
    assert command({"restart": "on-failure"}, "/bin/bun") == ["/bin/bun", "--preload", str(SLOW_JOB), str(LAUNCHER)]


def test_the_overrides_command_and_mounts_are_those_that_boot_wrote() -> None:
    service = {
        "command": ["bun", "--preload", "/run/guard/drain_guard.ts", str(LAUNCHER)],
        "volumes": [{"type": "bind", "source": "/root/guard", "target": "/run/guard", "read_only": True}],
    }
    assert command(service, "/bin/bun") == [
        *("/bin/bun", "--preload", str(SLOW_JOB), "--preload", "/root/guard/drain_guard.ts", str(LAUNCHER)),
    ]
