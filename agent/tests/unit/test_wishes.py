"""The texts of the two tags."""

from __future__ import annotations

import pytest
from ghosthands_agent.wishes import (
    ANSWER_TAG,
    VALUE_CHARACTERS,
    WISH_TAG,
    Wish,
    answer,
    digest_of,
    name_of,
    parse,
    repository,
)

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.mark.parametrize(
    "wish",
    [Wish("hold", "0a1b2c3d"), Wish("resume", "00000000"), Wish("renew", "ffffffff"), Wish("release", "1" * 8, DIGEST)],
)
def test_a_wish_is_read_as_it_was_written(wish: Wish) -> None:
    assert parse(wish.text) == wish
    assert len(wish.text) <= VALUE_CHARACTERS
    assert wish.text.startswith(wish.verb)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        ("hold", ""),
        ("hold@", ""),
        ("hold@0a1b2c3", ""),
        ("hold@0A1B2C3D", ""),
        ("pause@0a1b2c3d", "pause@0a1b2c3d"),
        ("hold=x@0a1b2c3d", "hold@0a1b2c3d"),
        ("release@0a1b2c3d", "release@0a1b2c3d"),
        ("release=latest@0a1b2c3d", "release@0a1b2c3d"),
        (f"release={DIGEST.upper()}@0a1b2c3d", "release@0a1b2c3d"),
        ("hold@0a1b2c3d\n", ""),
        (" hold@0a1b2c3d", ""),
    ],
)
def test_what_is_no_wish_is_answered_if_it_has_an_id(text: str, name: str) -> None:
    assert parse(text) is None
    assert name_of(text) == name


def test_an_answer_holds_what_a_tag_may_hold() -> None:
    text = answer("renew@0a1b2c3d", "failed", f"The secret's key\n«X» is missing; {'x' * 300}")
    assert len(text) == VALUE_CHARACTERS
    assert text.startswith("renew@0a1b2c3d failed The secret s key X is missing xxx")
    assert answer("hold@0a1b2c3d", "done") == "hold@0a1b2c3d done"


def test_the_tags_keys_are_allowed_in_the_metadata() -> None:
    for key in (WISH_TAG, ANSWER_TAG):
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyz:")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("registry/ghosthands", "registry/ghosthands"),
        ("registry:5000/ghosthands", "registry:5000/ghosthands"),
        ("registry:5000/ghosthands:v1", "registry:5000/ghosthands"),
        (f"registry/ghosthands:v1@{DIGEST}", "registry/ghosthands"),
        (f"registry:5000/a/b@{DIGEST}", "registry:5000/a/b"),
    ],
)
def test_a_repository_is_a_reference_without_tag_and_digest(image: str, expected: str) -> None:
    assert repository(image) == expected


def test_a_person_names_an_image_by_its_digest_in_the_fleets_repository() -> None:
    image = "registry:5000/ghosthands:1"
    assert digest_of(DIGEST, image) == digest_of(f"registry:5000/ghosthands:2@{DIGEST}", image) == DIGEST
    for wrong, said in (("v2", "has no digest"), ("registry:5000/ghosthands:2", "has no digest")):
        with pytest.raises(ValueError, match=said):
            digest_of(wrong, image)
    with pytest.raises(ValueError, match="is not in registry:5000/ghosthands"):
        digest_of(f"elsewhere/ghosthands@{DIGEST}", image)
