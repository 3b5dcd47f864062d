"""Each format shows an event in one way, whatever is in it."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.cli.color import Painter
from sylvite.cli.render import FORMATS, Look, rendering
from sylvite.core.event import Event, Gap
from sylvite.errors import InvalidInput
from tests.cli.events import STAMP_NS, make_event

PLAIN = Look(Painter(enabled=False), today="2026-11-23")
GAP = Gap(184_471, 185_675, "retention", 1204)


def line(event: Event, format_: str = "short", look: Look = PLAIN, fields: tuple[str, ...] = ()) -> str:
    return rendering(format_, look, fields).event(event).decode()


def test_short_is_time_offset_tag_and_summary() -> None:
    assert line(make_event(data={"n": 1, "ok": True})) == "22:47:31.012  @184467  myco/a  n=1 ok=true\n"


def test_short_names_the_day_where_it_is_not_today() -> None:
    """A time of day alone would deceive."""
    yesterday = make_event(stamp_ns=STAMP_NS - 86_400 * 10**9)
    assert line(yesterday).startswith("2026-11-22 22:47:31.012  ")


def test_short_tells_a_jobs_return_in_words() -> None:
    states = {
        "pkg_|-nginx_|-nginx_|-installed": {"result": True},
        "file_|-nginx_conf_|-/etc/nginx.conf_|-managed": {"result": False},
    }
    event = make_event("salt/job/1/ret/web3", {"fun": "state.apply", "return": states, "retcode": 2, "jid": "1"})
    assert line(event).endswith("  state.apply  rc=2  1 of 2 states failed: nginx_conf\n")
    ping = make_event("salt/job/1/ret/web3", {"fun": "test.ping", "return": True, "retcode": 0})
    assert line(ping).endswith("  test.ping  rc=0  true\n")


def test_short_fits_the_terminal_and_is_whole_elsewhere() -> None:
    event = make_event(data={"text": "x" * 300})
    assert len(line(event, look=PLAIN._replace(width=80)).rstrip("\n")) == 80
    assert "x" * 300 in line(event)


@given(
    data=st.dictionaries(
        st.text(max_size=8),
        st.text(max_size=20)
        | st.integers()
        | st.none()
        | st.floats()
        | st.binary(max_size=8)
        | st.lists(st.text(max_size=8)),
        max_size=4,
    ),
    format_=st.sampled_from(["short", "tag", "salt", "json", "template={data}{data.a|}"]),
)
def test_an_event_is_one_line_that_says_nothing_to_a_terminal(data: dict[str, object], format_: str) -> None:
    """Line breaks and escape sequences come from strangers: they are shown, never sent."""
    shown = line(make_event(data=data), format_, look=PLAIN._replace(width=80))
    assert shown.endswith("\n")
    controls = "[\x00-\x1f\x7f-\x9f]" if format_ != "salt" else "[\x00-\x08\x0a-\x1f]"
    assert not re.search(controls, shown[:-1])


def test_full_shows_the_envelope_and_pretty_data() -> None:
    shown = line(make_event(data={"a": [1]}, cause=184_460, hop=1), "full")
    assert shown.startswith("@184467  myco/a\n  time    2026-11-23 22:47:31.012  (2026-11-23T22:47:31.012345Z)\n")
    assert "  sender  uid:1000\n" in shown
    assert "  cause   @184460 (hop 1)\n" in shown
    assert shown.endswith('  {\n    "a": [\n      1\n    ]\n  }\n\n')


def test_json_is_the_envelope() -> None:
    event = make_event(data={"a": "é"})
    assert json.loads(line(event, "json")) == event.envelope()
    assert line(event, "json").count("\n") == 1


def test_json_takes_any_data_that_messagepack_has() -> None:
    event = make_event(data={"bytes": b"\x00\xff", "ext": msgspec.msgpack.Ext(78, b"x"), "int": 2**64 - 1})
    assert json.loads(line(event, "json"))["data"] == {
        "bytes": "AP8=",
        "ext": {"$ext": 78, "data": "eA=="},
        "int": 2**64 - 1,
    }


def test_salt_prints_as_salt_run_state_event_does() -> None:
    """As in transcripts of the real thing: tag, tab, JSON with spaces, and letters as they are."""
    event = make_event(
        "golden/cli2", {"z": 1, "a": {"é": [1, 2.5, None, True]}, "_stamp": "2026-11-23T22:46:51.990472+00:00"}
    )
    assert line(event, "salt") == (
        'golden/cli2\t{"z": 1, "a": {"é": [1, 2.5, null, true]}, "_stamp": "2026-11-23T22:46:51.990472+00:00"}\n'
    )


def test_tag_is_the_tag() -> None:
    assert line(make_event(), "tag") == "myco/a\n"


def test_templates_fill_in_fields_and_what_stands_for_missing_ones() -> None:
    event = make_event(data={"id": "web1", "deep": {"list": [{"x": 7}]}, "a.b": 2})
    template = "template={{{offset}}}\\t{tag} {data.id} {deep.list.0.x} {data.a.b} {no|?} {none} {sender} {hop}"
    assert line(event, template) == "{184467}\tmyco/a web1 7 2 ?  uid:1000 0\n"


@pytest.mark.parametrize("template", ["{", "}", "{tag", "tag}", "{}", "{ }", "{|x}", "{tag.x}"])
def test_templates_that_cannot_be_read_are_refused(template: str) -> None:
    with pytest.raises(InvalidInput):
        rendering(f"template={template}", PLAIN)


def test_fields_choose_what_is_shown() -> None:
    event = make_event(data={"id": "web1", "n": 1})
    assert json.loads(line(event, "json", fields=("offset", "data.id", "nothing"))) == {
        "offset": 184_467,
        "data.id": "web1",
    }
    assert line(event, fields=("id", "n")) == "22:47:31.012  @184467  myco/a  id=web1 n=1\n"
    assert line(event, "full", fields=("id",)) == "@184467  myco/a\n  id  web1\n\n"


@pytest.mark.parametrize("format_", [*FORMATS, "template={tag}"])
def test_gaps_are_shown_in_every_format(format_: str) -> None:
    """Among the events where a reader expects more than one kind of line, beside them elsewhere."""
    found = rendering(format_, PLAIN)
    assert found.gap_in_line == (format_ in ("short", "full", "json"))
    shown = found.gap(GAP).decode()
    if format_ == "json":
        assert json.loads(shown)["gap"]["first"] == 184_471
    else:
        assert shown == "-- gap: 1204 events (@184471..@185674) are missing, retention\n"


def test_colour_marks_but_carries_no_meaning_alone() -> None:
    """Without the colours the line is the same."""
    event = make_event(data={"name": "web1", "n": 1})
    look = PLAIN._replace(painter=Painter(enabled=True), highlight=re.compile("web."))
    coloured = line(event, look=look)
    assert "\033[30;43mweb1\033[0m" in coloured
    assert re.sub("\033\\[[0-9;]*m", "", coloured) == line(event)


def test_tags_of_a_family_look_alike() -> None:
    painter = Painter(enabled=True)
    assert painter.tag("salt/job/1")[:5] == painter.tag("salt/job/2")[:5]


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(InvalidInput, match="there are short, full"):
        rendering("yaml", PLAIN)
