"""What may be the name of an event."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core.tag import TAG_BYTES_MAX, check_tag
from sylvite.errors import InvalidTag


@pytest.mark.parametrize(
    "tag",
    [
        "salt/job/20261123224730771814/ret/web1", "minion_start", "key", "my tag", "a//b", "../x", "/", "ü/日本/🙂",
        "x" * TAG_BYTES_MAX, "ü" * (TAG_BYTES_MAX // 2), "🙂" * (TAG_BYTES_MAX // 4),
    ],
)  # fmt: skip
def test_tags_that_salt_users_have_pass(tag: str) -> None:
    assert check_tag(tag) == tag


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("", "at least one character"),
        ("x" * (TAG_BYTES_MAX + 1), "at most 256 bytes"),
        ("ü" * (TAG_BYTES_MAX // 2) + "x", "at most 256 bytes"),
        ("🙂" * (TAG_BYTES_MAX // 4) + "x", "at most 256 bytes"),
        ("x" * 10_000_000, "at most 256 bytes"),
    ],
)
def test_the_size_has_its_limit_in_bytes(tag: str, reason: str) -> None:
    with pytest.raises(InvalidTag, match=reason) as caught:
        check_tag(tag)
    assert len(str(caught.value)) < 300


UNFIT = "\0\t\n\r\x1b\x7f\x85\x9f\u2028\u2029\u202a\u202e\u2066\u2069\ud800\udfff"


@pytest.mark.parametrize("character", UNFIT, ids=ascii)
def test_what_could_deceive_a_reader_is_refused(character: str) -> None:
    """Control characters, line breaks, marks that turn the direction, halves of characters: wherever they stand."""
    for tag in (character, f"a{character}", f"{character}a", "x" * 255 + character):
        with pytest.raises(InvalidTag) as caught:
            check_tag(tag)
        assert f"U+{ord(character):04X} at {tag.index(character)}" in str(caught.value)


@given(st.text(st.characters(), max_size=300))
@settings(deadline=None, max_examples=200)
def test_a_tag_is_returned_as_it_is_or_refused(tag: str) -> None:
    """What passes is one line of at most 256 bytes, and fits into UTF-8."""
    try:
        checked = check_tag(tag)
    except InvalidTag:
        return
    assert checked == tag
    assert 1 <= len(tag.encode()) <= TAG_BYTES_MAX
    assert tag.splitlines() == [tag]
