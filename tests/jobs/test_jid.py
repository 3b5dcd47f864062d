"""Job ids: as Salt writes them, each greater than the one before."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.errors import InvalidJid
from sylvite.jobs.jid import DIGITS, JidMaker, parse_jid, start_time, write_jid

MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is added
NOW_NS = 1_795_474_050_771_814_999


def test_a_jid_is_the_utc_time_to_the_microsecond() -> None:
    jid = JidMaker().make(NOW_NS)
    assert jid == "20261123224730771814"
    assert parse_jid(jid).stamp == datetime(2026, 11, 23, 22, 47, 30, 771_814, UTC)
    assert parse_jid(jid).stamp_ns == NOW_NS - 999


def test_with_unique_jid_the_process_stands_behind_it() -> None:
    jid = JidMaker(process=4711).make(NOW_NS)
    assert jid == "20261123224730771814_4711"
    assert parse_jid(jid).process == 4711
    assert parse_jid("20261123224730771814").process is None


@given(st.lists(st.integers(-(2**63), 2**63), min_size=2, max_size=30))
def test_jids_of_a_process_are_strictly_increasing(clock: list[int]) -> None:
    """Whatever the clock says: the same microsecond twice, ten years back, before 1970."""
    maker = JidMaker()
    made = [maker.make(now_ns) for now_ns in clock]
    assert made == sorted(set(made))
    assert all(parse_jid(jid) for jid in made)


@given(MOMENTS)
def test_what_is_written_is_read_again(moment: datetime) -> None:
    """From 1970 to the last microsecond of 9999, in twenty digits."""
    jid = write_jid(moment)
    assert len(jid) == DIGITS
    assert parse_jid(jid).stamp == moment


@given(MOMENTS, MOMENTS)
def test_in_order_of_text_is_in_order_of_time(one: datetime, other: datetime) -> None:
    assert (write_jid(one) < write_jid(other)) == (one < other)


def test_any_zone_becomes_utc() -> None:
    moment = datetime(2026, 11, 24, 0, 47, 30, 5, timezone(timedelta(hours=2)))
    assert write_jid(moment) == "20261123224730000005"


@pytest.mark.parametrize(
    "text",
    [
        "", "req", "2026112322473077181", "202611232247307718144", "20261323224730771814", "20260230224730771814",
        "20261123244730771814", "20261123226030771814", "20261123224760771814", "00000000000000000000",
        " 20261123224730771814", "20261123224730771814\n", "2026112322473077181x", "20261123224730771814_",
        "20261123224730771814_0", "20261123224730771814_x", "20261123224730771814_4711_1", "../../etc/passwd",
        "٢٠٢٦١١٢٣٢٢٤٧٣٠٧٧١٨١٤", "x" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_jid_is_refused(text: str) -> None:
    with pytest.raises(InvalidJid) as caught:
        parse_jid(text)
    assert len(str(caught.value)) < 250


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_jid(text)
    except InvalidJid:
        return
    assert text.startswith(write_jid(found.stamp))


def test_threads_share_a_maker_and_get_no_jid_twice() -> None:
    maker, made = JidMaker(), list[str]()

    def make() -> None:
        made.extend(maker.make(NOW_NS) for _ in range(500))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2000


def test_the_time_as_the_runners_of_jobs_print_it() -> None:
    assert start_time("20261123224730771814") == "2026, Nov 23 22:47:30.771814"
    assert start_time("19700101000000000000_7") == "1970, Jan 01 00:00:00.000000"
    with pytest.raises(InvalidJid):
        start_time("req")
