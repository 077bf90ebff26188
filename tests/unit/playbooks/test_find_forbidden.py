"""What must not be in an image is found, on file systems of their own."""

from __future__ import annotations

import importlib.util
import os
import random
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[3] / "playbooks/files/find_forbidden.py"
INSTANCE, ACCOUNT = "i-0b17de12345678901", "210987654321"


def load() -> ModuleType:
    """The program, which is no module of a package: it is sent to the builder."""
    spec = importlib.util.spec_from_file_location("find_forbidden", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


program = load()


def found(root: Path, ids: tuple[str, ...] = (INSTANCE, ACCOUNT)) -> list[str]:
    """What is found of these IDs, and of no kind."""
    return list(program.look([], list(ids), str(root))["found"])


@pytest.mark.parametrize("name", ["key", ".key_history", "a b.log"])
def test_a_path_that_matches_a_pattern_is_named_with_its_kind(tmp_path: Path, name: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / name).touch()
    kinds = [{"what": "a file", "paths": ["/etc/key", "/etc/.*_history", "/etc/*.log*"]}]
    assert program.forbidden(kinds, str(tmp_path)) == [f"a file: /etc/{name}"]


def test_a_broken_link_is_found_and_a_path_without_match_is_not(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert program.forbidden([{"what": "a link", "paths": ["/link", "/missing"]}], str(tmp_path)) == ["a link: /link"]


@pytest.mark.parametrize(("content", "lines"), [("4b0c\n", 1), ("", 0)])
def test_a_machine_id_is_found_and_an_empty_one_is_not(tmp_path: Path, content: str, lines: int) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text(content, encoding="utf-8")
    assert len(program.forbidden([], str(tmp_path))) == lines


def test_the_builder_is_found_in_text_binary_names_and_links(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"role arn:aws:iam::{ACCOUNT}:role/builder\n", encoding="utf-8")
    (tmp_path / "database").write_bytes(b"\x00\xff" + INSTANCE.encode() + b"\x00")
    (tmp_path / INSTANCE).mkdir()
    (tmp_path / INSTANCE / "state").write_text("{}", encoding="utf-8")
    (tmp_path / "link").symlink_to(f"/var/{INSTANCE}")
    (tmp_path / "clean").write_text("i-0b17de1234567890 and 210987654322", encoding="utf-8")
    assert found(tmp_path) == [
        f"what names the builder ({INSTANCE}): /database",
        f"what names the builder ({INSTANCE}): /{INSTANCE}",
        f"what names the builder ({INSTANCE}): /link",
        f"what names the builder ({ACCOUNT}): /log",
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/ghosthands@sha256:0",
        f"1{ACCOUNT}",
        f"{ACCOUNT}0",
    ],
    ids=["a registry's name", "the end of a longer number", "the start of a longer number"],
)
def test_an_account_is_not_found_in(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text, encoding="utf-8")
    assert found(tmp_path) == []


def test_it_is_found_wherever_it_lies_across_the_chunks_that_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    monkeypatch.setattr(program, "CHUNK", 97)
    file = tmp_path / "file"
    for position in range(0, 300, 3):
        registry, longer = f"{ACCOUNT}.dkr.ecr.", f"7{ACCOUNT}"
        noise = "".join(chance.choice(["x", registry, longer, "i-0b17de1234567890 "]) for _number in range(30))
        before = noise[:position]
        file.write_text(f"{before} {INSTANCE} {noise}", encoding="utf-8")
        # A cut may leave the account alone at the end of what stands before: then that is found first.
        assert len(found(tmp_path)) == 1, position
        file.write_text(f"{'x' * position}{registry}{'x' * 300}{longer}", encoding="utf-8")
        assert found(tmp_path) == [], position


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert found(tmp_path) == []


def test_the_first_lines_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number:02}").write_text(INSTANCE, encoding="utf-8")
    lines = found(tmp_path)
    assert (len(lines), lines[-1]) == (21, "5 more")


def test_disks_are_told_from_memory_and_from_single_files(tmp_path: Path) -> None:
    folder, file = tmp_path / "a disk", tmp_path / "hostname"
    folder.mkdir()
    file.touch()
    shown = str(folder).replace(" ", "\\040")
    mounts = [
        "1 0 253:1 / / rw - xfs /dev/nvme0n1p1 rw",
        "2 1 0:5 / /proc rw shared:2 - proc proc rw",
        f"3 1 253:2 / {shown} rw shared:3 - vfat /dev/nvme0n1p128 rw",
        f"4 1 253:2 / {tmp_path} rw - vfat /dev/nvme0n1p128 rw",
        f"5 1 253:1 /containers/hostname {file} rw - ext4 /dev/nvme0n1p1 rw",
        f"6 1 0:9 / {tmp_path} rw - tmpfs tmpfs rw",
    ]
    assert program.disks("\n".join(mounts)) == [str(folder)]


def test_what_names_an_instance_is_read_from_the_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "api/token": "token",
        "dynamic/instance-identity/document": f'{{"instanceId": "{INSTANCE}", "accountId": "{ACCOUNT}"}}',
        "meta-data/local-hostname": "ip-10-9-1-23.eu-west-1.compute.internal",
        "meta-data/public-hostname": "",
        "meta-data/public-ipv4": "203.0.113.7",
        "meta-data/mac": "02:00:0a:09:01:17",
    }
    monkeypatch.setattr(program, "_metadata", lambda path, **_: answers[path])
    assert program.builder() == [INSTANCE, ACCOUNT, "ip-10-9-1-23", "203.0.113.7", "02:00:0a:09:01:17"]
    document = f'{{"instanceId": "{INSTANCE}", "accountId": "{program.EXAMPLE_ACCOUNT}"}}'
    answers["dynamic/instance-identity/document"] = document
    assert program.EXAMPLE_ACCOUNT not in program.builder()
