"""The commands as an operator types them, in a clone in a folder with a blank in its name.

Only AWS's own environment variables say which AWS is used.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fleet.cloud import ROOT, PlaybookCloud, Run


def checked(run: Run, sections: int) -> None:
    """A check on an empty account succeeded and would change that number of sections."""
    assert run.returncode == 0, run
    assert len({section for section, _task in run.differs}) == sections, run


def test_the_runbooks_literal_command_builds_the_fleet_and_then_changes_nothing(
    cloud: PlaybookCloud, clone: Path
) -> None:
    built = cloud.shell("ansible-playbook site.yml -i staging", clone)
    assert built.returncode == 0, built
    assert built.recap["staging"]["changed"] > 10
    assert cloud.group("gh-worker-asg")["DesiredCapacity"] == 1
    assert (clone / "build/valet/gh-worker/valet.env").stat().st_mode & 0o777 == 0o600
    cloud.clear_trace()
    for command in (
        "ansible-playbook site.yml -i staging",
        "ansible-playbook playbooks/site.yml -i inventories/staging",
        "ansible-playbook wekruit.ghosthands.site -i staging",
    ):
        again = cloud.shell(command, clone)
        assert (again.returncode, again.changed) == (0, 0), again
        assert "Up to date." in again.stdout
    assert cloud.writes() == []


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("ansible-playbook site.yml -i staging --check", "."),
        ("ansible-playbook playbooks/site.yml -i inventories/staging --check", "."),
        ("ansible-playbook wekruit.ghosthands.site -i inventories/staging --check", "."),
        ("ansible-playbook site.yml -i production --check", "."),
        ("ansible-playbook site.yml -i ../inventories/staging --check", "playbooks"),
    ],
)
def test_the_site_can_be_named_in_every_way_from_the_checkout(command: str, folder: str, cloud: PlaybookCloud) -> None:
    cloud.create_secret("ghosthands/worker/production")
    cloud.clear_trace()
    checked(cloud.shell(command, ROOT / folder), 7)
    assert cloud.writes() == []


@pytest.mark.parametrize("book", ["iam", "status"])
def test_a_playbook_can_be_named_by_path_and_by_collection(book: str, cloud: PlaybookCloud, clone: Path) -> None:
    for command in (f"playbooks/{book}.yml -i staging", f"wekruit.ghosthands.{book} -i staging"):
        checked(cloud.shell(f"ansible-playbook {command} --check", clone), 0 if book == "status" else 1)


def test_playbooks_run_from_any_folder(cloud: PlaybookCloud, clone: Path, tmp_path: Path) -> None:
    paths = f"'{clone}/playbooks/site.yml' -i '{clone}/staging'"
    checked(cloud.shell(f"ansible-playbook {paths} --check", tmp_path), 7)
    named = f"wekruit.ghosthands.site -i '{clone}/staging'"
    checked(
        cloud.shell(f"ansible-playbook {named} --check", tmp_path, ANSIBLE_COLLECTIONS_PATH=str(clone / "collections")),
        7,
    )
    assert list(tmp_path.iterdir()) == []
