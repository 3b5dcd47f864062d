"""Settings from a file: read whole, or refused with the name of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sylvite import config
from sylvite.broker.settings import BrokerSettings
from sylvite.config import CONFIG_BYTES_MAX, DEPTH_MAX, VALUES_MAX, convert, read_config, read_yaml
from sylvite.errors import InvalidSetting


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keep_bytes: int = 0


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keep_bytes: int = 1
    wait_s: float = 1.0
    name: str = ""


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: Inner = Inner()
    items: tuple[Item, ...] = ()
    anything: Any = None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sylvite.yaml"


def read(path: Path, content: str | bytes) -> Outer:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_config(path, Outer)


def refusal(path: Path, content: str | bytes) -> str:
    with pytest.raises(InvalidSetting) as caught:
        read(path, content)
    return str(caught.value)


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "null\n", "{}"])
def test_an_empty_file_is_all_defaults(path: Path, content: str) -> None:
    assert read(path, content) == Outer()
    assert read_config(path, BrokerSettings) == BrokerSettings()


def test_sizes_and_durations_are_numbers_with_units_or_without(path: Path) -> None:
    found = read(
        path, "inner: {keep_bytes: 64MiB, wait_s: 1d12h, name: 5s}\nitems: [{keep_bytes: 1k}, {keep_bytes: 7}]"
    )
    assert found.inner == Inner(64 << 20, 129_600.0, "5s")
    assert found.items == (Item(1000), Item(7))


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        ("inner: {keep_bytes: lots}", "inner.keep_bytes: 'lots'", "is not one; write 1000, 64KiB"),
        ("inner: {wait_s: soon}", "inner.wait_s: 'soon'", "is not one; write 90s"),
        ("inner: {wait_s: ''}", "inner.wait_s: ''", "is empty"),
        ("items: [{}, {keep_bytes: x}]", "items[1].keep_bytes: 'x'", "is not one"),
        ("inner: {keep_byte: 1}", "inner.keep_byte: 1", "did you mean 'keep_bytes'?"),
        ("inner: {wiat_s: soon}", "inner.wiat_s: 'soon'", "did you mean 'wait_s'?"),
        ("items: [{}, {keep: 1}]", "items[1].keep: 1", "keep_bytes"),
        ("zzz: 1", "zzz: 1", "there are inner, items, anything"),
        ("inner: {keep_bytes: [1]}", "sylvite.yaml", "$.inner.keep_bytes"),
        ("inner: {keep_bytes: 1.5}", "sylvite.yaml", "$.inner.keep_bytes"),
        ("inner: {wait_s: true}", "sylvite.yaml", "$.inner.wait_s"),
        ("inner: {name: 2026-11-23}", "sylvite.yaml", "$.inner.name"),
        ("inner: 5", "sylvite.yaml", "$.inner"),
        ("items: 5", "sylvite.yaml", "$.items"),
        ("items: [5]", "sylvite.yaml", "$.items[0]"),
    ],
)
def test_what_is_wrong_is_named(path: Path, content: str, name: str, reason: str) -> None:
    """The key as it stands in the file, and what would be right."""
    message = refusal(path, content)
    assert name in message
    assert reason in message


@pytest.mark.parametrize("content", ["[]", "[1, 2]", "0", "false", "''", "5", "text", "2026-11-23"])
def test_the_whole_must_be_a_map(path: Path, content: str) -> None:
    assert "must be a map of settings" in refusal(path, content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: &x 1\nb: *x", "alias *x, line 2"),
        ("a: &x [*x]", "alias *x, line 1"),
        ("a: &x {b: 1}\nc: {<<: *x}", "alias *x, line 2"),
        ("anything: {<<: {a: 1}, a: 2}", "a key that is no text, line 1"),
        ("inner: {name: a}\nitems: []\ninner: {}", "'inner' twice, line 3"),
        ("inner:\n  name: a\n  name: b", "'name' twice, line 3"),
        ("items: [{keep_bytes: 1, keep_bytes: 2}]", "'keep_bytes' twice, line 1"),
        ("anything: {\"a\": 1, 'a': 2}", "'a' twice"),
        ("1: x", "a key that is no text, line 1"),
        ("yes: x", "a key that is no text"),
        ("? [a]\n: x", "a key that is no text"),
        ("anything: !!python/object:os.system {}", "tag tag:yaml.org,2002:python/object:os.system, line 1"),
        ("anything: !!int x", "tag tag:yaml.org,2002:int"),
        ("anything: !mine x", "tag !mine"),
        ("a: 1\n---\nb: 2", "is not YAML"),
        ("a: 'x", "is not YAML"),
        ("a: [", "is not YAML"),
        ("a:\n\t- b", "is not YAML"),
        ("anything: 2026-13-45", "is not YAML"),
        ("anything: 0x_", "is not YAML"),
        ("anything: " + "9" * 10_000, "is not YAML"),
        ('anything: "\\ud800"', "is not YAML"),
        (b"\xff\xfe\xff", "is not YAML"),
        (b"anything: \xc3\x28", "is not YAML"),
        (b"anything: a\0b", "is not YAML"),
        (b"\0" * 100, "is not YAML"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_or_no_yaml_is_refused(path: Path, content: str | bytes, reason: str) -> None:
    message = refusal(path, content)
    assert reason in message
    assert "\n" not in message


def test_a_file_is_nested_32_deep_at_most(path: Path) -> None:
    """Lists and maps alike; the map that is the whole file counts as one."""
    assert read(path, "anything: " + "[" * (DEPTH_MAX - 1) + "]" * (DEPTH_MAX - 1)).anything is not None
    assert read(path, "anything: " + "{a: " * (DEPTH_MAX - 1) + "1" + "}" * (DEPTH_MAX - 1)).anything is not None
    for deep in ("[" * DEPTH_MAX, "[{a: " * (DEPTH_MAX // 2)):
        assert f"nested more than {DEPTH_MAX} deep, line 1" in refusal(path, "anything: " + deep)


def test_a_file_has_so_many_values(path: Path) -> None:
    """The map, the key and the list count too, and so do the stream and the document that YAML puts around them."""
    most = "anything: [" + "1," * (VALUES_MAX - 5)
    assert len(read(path, most + "]").anything) == VALUES_MAX - 5
    assert f"more than {VALUES_MAX} keys and values, line 1" in refusal(path, most + "1]")


def test_a_file_has_a_mebibyte_at_most(path: Path) -> None:
    content = b"# " + b"x" * (CONFIG_BYTES_MAX - 2)
    assert read(path, content) == Outer()
    assert f"more than {CONFIG_BYTES_MAX} bytes" in refusal(path, content + b"x")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InvalidSetting, match=reason) as caught:
            read_config(path, Outer)
        assert str(path)[:60] in str(caught.value)


def test_a_long_value_does_not_fill_the_screen(path: Path) -> None:
    assert len(refusal(path, f"inner: {{keep_bytes: {'x' * 100_000}}}")) < 400
    assert len(refusal(path, f"wrong: [{'x, ' * 100_000}]")) < 400


@given(st.one_of(st.binary(max_size=60), st.text("{}[]:,&*!?|>-'\"# \n\t<=~0x1aé\\%@`", max_size=60).map(str.encode)))
@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_bytes_are_read_or_refused(path: Path, content: bytes) -> None:
    """No content of the file ends in anything but settings or InvalidSetting."""
    path.write_bytes(content)
    try:
        assert isinstance(read_config(path, Outer), Outer)
    except InvalidSetting:
        pass  # The one error that is promised.


SETTINGS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["inner", "items", "keep_bytes", "wait_s", "name", "anything", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(SETTINGS)
@settings(deadline=None, max_examples=100)
def test_any_settings_are_taken_or_refused(found: object) -> None:
    """Whatever stands where: settings of the right types, or InvalidSetting."""
    try:
        taken = convert(found, Outer, "here")
    except InvalidSetting:
        return
    assert isinstance(taken.inner.keep_bytes, int)
    assert isinstance(taken.inner.wait_s, float)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=5),
        st.integers() | st.text("abc ", max_size=5),
        max_size=5,
    )
)
@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_json_is_read_as_it_is(path: Path, found: dict[str, object]) -> None:
    """What other programs write reads as they meant it: JSON is YAML."""
    path.write_text(json.dumps({"anything": found}, ensure_ascii=False))
    assert read_config(path, Outer).anything == found


def test_the_line_of_each_key_is_noted() -> None:
    lines: dict[str, int] = {}
    read_yaml(b'a: 1\nb:\n  c: [x,\n    {d: 2}]\n  "e": {\n f: }\n', "here", lines)
    assert lines == {"a": 1, "b": 2, "b.c": 3, "b.c[0]": 3, "b.c[1]": 4, "b.c[1].d": 4, "b.e": 5, "b.e.f": 6}


def test_long_keys_above_many_others_take_little_memory() -> None:
    """A mebibyte that holds one long key and thousands below it: their paths would be gigabytes."""
    lines: dict[str, int] = {}
    read_yaml(b"? " + b"x" * 500_000 + b"\n: [" + b"1," * 10_000 + b"]\nb: 1", "here", lines)
    assert lines == {"x" * 500_000: 1, "b": 3}


def test_without_the_check_an_alias_makes_a_bomb(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with the check taken out, an alias is believed."""

    def believe(events: object, where: str) -> None:
        del events, where

    monkeypatch.setattr(config, "_check_events", believe)
    assert read(path, "anything: [&x [1], *x]").anything == [[1], [1]]
