"""Packed data, against the vectors of the specification; and the thin modules of `salt.utils`."""

from __future__ import annotations

import io
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.compat import args, files, jid, json, platform, stringutils, yaml
from sylvite.compat.exceptions import SaltDeserializationError
from sylvite.compat.packing import pack_event, unpack_event
from sylvite.compat.payload import Constant, dumps, loads

STAMP = datetime(2026, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - Salt's have no zone


def test_vectors() -> None:
    packed = pack_event("my/tag", {"a": 1, "b": b"\x00", "t": STAMP})
    expected = "6d792f746167 0a0a 83 a161 01 a162 c40100 a174 c7184e 32303236303130325430333a30343a30352e303030303036"
    assert packed == bytes.fromhex(expected)
    assert unpack_event(packed) == ("my/tag", {"a": 1, "b": b"\x00", "t": STAMP})
    assert dumps({"a": "é", "b": b"\x00"}) == bytes.fromhex("82a161a2c3a9a162a100")
    assert dumps({"a": "é", "b": b"\x00"}, use_bin_type=True) == bytes.fromhex("82a161a2c3a9a162c40100")


def test_what_comes_back_otherwise() -> None:
    assert loads(dumps({"d": date(2026, 1, 2)})) == {"d": datetime(2026, 1, 2)}  # noqa: DTZ001
    assert loads(dumps({"c": Constant("NO", {"x": 1})})) == {"c": Constant("NO", {"x": 1})}
    assert loads(dumps({"b": b"x" * 40, "l": [b"y" * 70_000]})) == {"b": "x" * 40, "l": ["y" * 70_000]}
    assert loads(dumps([2**64, -(2**63) - 1, 2**64 - 1])) == [str(2**64), str(-(2**63) - 1), 2**64 - 1]
    with pytest.raises(SaltDeserializationError):
        loads(b"\xc1")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=4),
    max_leaves=20,
)


@given(
    tag=st.text(min_size=1).filter(lambda tag: "\n\n" not in tag and not tag.endswith("\n")),
    data=st.dictionaries(st.text(), VALUES, max_size=4),
)
def test_events_come_back_as_they_were_packed(tag: str, data: dict[str, object]) -> None:
    assert unpack_event(pack_event(tag, data)) == (tag, data)


def test_trimming_stops_where_it_fits() -> None:
    data = {"large": "x" * 400, "middle": "y" * 300, "deep": {"large": "z" * 400}, "list": ["w" * 400], "small": 1}
    _, got = unpack_event(pack_event("t", data, 1000))
    assert got == {**data, "large": "VALUE_TRIMMED", "deep": {"large": "VALUE_TRIMMED"}}
    assert pack_event("t", data, None) == pack_event("t", data)
    many = {f"k{number}": number for number in range(1000)}
    assert unpack_event(pack_event("t", many, 1000))[1] == many, "many small values are not trimmed"


def test_text_and_bytes() -> None:
    assert stringutils.to_bytes("é") == b"\xc3\xa9"
    assert stringutils.to_str(b"\xc3\xa9") == stringutils.to_unicode("é") == "é"
    assert stringutils.to_str("e\u0301", normalize=True) == "é"
    for turn in (stringutils.to_bytes, stringutils.to_str):
        with pytest.raises(TypeError, match="expected str, bytes, or bytearray not"):
            turn(5)


def test_documents_and_files(tmp_path: Path) -> None:
    assert json.dumps({"a": "é"}) == '{"a": "é"}'
    assert json.loads('{"a": 1}') == {"a": 1}
    out = io.StringIO()
    json.dump([1], out)
    assert json.load(io.StringIO(out.getvalue())) == [1]
    assert yaml.safe_load("{a: [1, b]}") == {"a": [1, "b"]}
    assert yaml.safe_dump({"a": "é"}) == "a: é\n"
    with files.fopen(tmp_path / "x", "w") as file:
        file.write("é")
    with files.fopen(tmp_path / "x", "rb") as file:
        assert file.read() == b"\xc3\xa9"
    assert platform.is_linux() or platform.is_darwin() or platform.is_windows()
    assert not platform.is_proxy()


def test_job_ids_and_arguments() -> None:
    made = jid.gen_jid()
    assert jid.is_jid(made)
    assert not jid.is_jid("5")
    assert not jid.is_jid(5)
    assert "_" in jid.gen_jid({"unique_jid": True})
    assert jid.jid_to_time("20261123224730771814") == "2026, Nov 23 22:47:30.771814"
    assert jid.jid_to_time("no") == ""
    assert args.yamlify_arg("{a: 1}") == {"a": 1}
    assert args.parse_input(["a", "5", "b=true"]) == ["a", 5, {"__kwarg__": True, "b": True}]
    assert args.parse_input(["b=5"], condition=False, no_parse=["b"]) == ([], {"b": "5"})
