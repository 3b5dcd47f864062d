"""`sylvite top`: the rates by tag, and the screen in a real terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sylvite.cli.top_rates import OTHERS, SHAPES_MAX, TagRates, shape_of
from sylvite.client.sync_client import Client
from sylvite.testing.broker import BrokerProcess
from tests.cli.program import COMMAND, Program

WAIT_S = 60.0
ESCAPES = re.compile(r"\x1b(\[[0-9;?>$]*[a-zA-Z]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78])")


@pytest.mark.parametrize(
    ("tag", "shape"),
    [
        ("salt/job/20261129070521172446/ret/web1", "salt/job/*/ret/*"),
        ("salt/minion/web1.example/start", "salt/minion/*/start"),
        ("minion/refresh/web1", "minion/refresh/*"),
        ("myco/deploy/done", "myco/deploy/done"),
        ("20261129070521172446", "*"),
        ("a/b/c/d/e/f/g", "a/b/c/d/e/**"),
        ("", ""),
    ],
)
def test_tags_are_counted_by_their_shape(tag: str, shape: str) -> None:
    assert shape_of(tag) == shape


def test_rates_rise_and_fade() -> None:
    rates = TagRates()
    rates.rates(0.0)
    for second in range(1, 121):
        for _ in range(10):
            rates.count("a", second - 0.5)
        rates.rates(float(second))
    (rate,) = rates.rates(120.0)
    assert rate.now == pytest.approx(10.0, abs=0.1)
    assert rate.minute == pytest.approx(10.0 * 0.865, abs=0.2)
    assert rate.events == 1200
    (later,) = rates.rates(180.0)
    assert later.now < 0.001
    assert later.minute == pytest.approx(rate.minute * 0.368, abs=0.1)
    assert later.last_s == 119.5


def test_shapes_without_end_are_one_shape() -> None:
    rates = TagRates()
    for number in range(SHAPES_MAX + 500):
        rates.count(f"shape-{number}", 0.0)
    found = {rate.shape: rate.events for rate in rates.rates(1.0)}
    assert len(found) == SHAPES_MAX + 1
    assert found[OTHERS] == 500


@contextmanager
def _in_terminal(program: Program, *arguments: str) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=inner, stdout=inner, stderr=inner, env=program.environment, cwd=program.folder
    )
    os.close(inner)
    try:
        yield process, outer
    finally:
        process.kill()
        process.wait()
        os.close(outer)


def _read_until(descriptor: int, holds: Callable[[str], bool]) -> str:
    """Return what the screen was told, without its escape sequences, once it holds what is wanted."""
    raw, deadline = b"", time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.2)[0]:
            try:
                raw += os.read(descriptor, 65536)
            except OSError:
                break  # The other side has gone.
        text = ESCAPES.sub(" ", raw.decode(errors="replace"))
        if holds(text):
            return text
    raise AssertionError(ESCAPES.sub(" ", raw.decode(errors="replace"))[-3000:])


def test_a_terminal_shows_tags_readers_and_the_log_until_q(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker:
        program = Program(broker.socket, tmp_path)
        with Client.connect(broker.socket) as bus, _in_terminal(program, "top") as (process, screen):
            with bus.subscribe("none/", cursor="billing") as reader:
                assert reader.next(0.0) is None
            _read_until(screen, lambda text: "sylvite top" in text and "billing" in text)
            for number in range(3):
                bus.publish(f"salt/job/2026112907052117244{number}/ret/web1", {"return": True})
            text = _read_until(screen, lambda text: "salt/job/*/ret/*" in text)
            assert "live" in text
            os.write(screen, b"s")
            _read_until(screen, lambda text: re.search(r"sorted\s+by\s+MINUTE", text) is not None)
            os.write(screen, b"q")
            assert process.wait(WAIT_S) == 0


def test_without_a_terminal_or_a_broker_it_says_so(tmp_path: Path) -> None:
    program = Program(tmp_path / "none", tmp_path)
    done = program("top")
    assert (done.code, done.out) == (2, "")
    assert "needs a terminal" in done.err
    with _in_terminal(program, "top") as (process, screen):
        text = _read_until(screen, lambda text: "sylvite broker" in text)
        assert "Traceback" not in text
        assert process.wait(WAIT_S) == 69
