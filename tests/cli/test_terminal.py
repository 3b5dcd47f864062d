"""Colour, progress, tables, output in pieces, and questions: what depends on a terminal."""

from __future__ import annotations

import io

import click
import pytest

from sylvite.cli.color import wants_color
from sylvite.cli.confirm import confirm
from sylvite.cli.output import FLUSH_BYTES, Lines, table
from sylvite.cli.progress import Progress, progress_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Pieces(io.BytesIO):
    """Remembers what each write wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - bytes is all we write
        self.pieces.append(piece)
        return len(piece)


@pytest.mark.parametrize(
    ("choice", "environment", "terminal", "wanted"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1", "TERM": "dumb"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_when_there_is_colour(
    choice: str, environment: dict[str, str], terminal: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_color(choice, Terminal() if terminal else io.StringIO()) is wanted


def test_progress_is_for_terminals_alone() -> None:
    """Into a file it would be noise; on a terminal nothing of it stays."""
    for stream, drawn in ((io.StringIO(), False), (Terminal(), True)):
        with Progress("verify", "events", 100, stream=stream) as progress:
            progress.add(1, 10)
        assert progress.count == 1
        assert bool(stream.getvalue()) is drawn
        if drawn:
            assert stream.getvalue().endswith("\r\033[K")


def test_progress_says_how_much_how_fast_and_how_long_still() -> None:
    line = progress_line("verify", "events", 120_000, 512 * 1024**2, 1024**3, 2.0)
    assert line == "verify  " + "█" * 12 + "░" * 12 + "  120 000 events  512.0 MiB of 1.0 GiB  256.0 MiB/s  2.0 s left"
    assert "left" not in progress_line("import", "events", 1, 5, 0, 1.0)


def test_lines_leave_in_large_pieces_and_at_once_when_asked() -> None:
    stream = Pieces()
    lines = Lines(stream)
    lines.write(b"a\n")
    lines.write(b"b\n")
    assert stream.pieces == []
    lines.flush()
    lines.flush()
    assert stream.pieces == [b"a\nb\n"]
    lines.write(b"x" * FLUSH_BYTES)
    assert len(stream.pieces) == 2


def test_tables_have_columns() -> None:
    assert table([("a", "1"), ("long", "22")], ("NAME", "N")) == ["NAME  N", "a     1", "long  22"]


def test_nothing_is_asked_where_nobody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(click.UsageError, match="add -y"):
        confirm("Delete it?", yes=False)
    confirm("Delete it?", yes=True)


@pytest.mark.parametrize(("answer", "ends"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_on_a_terminal_the_answer_counts(answer: str, ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    if ends:
        with pytest.raises(click.Abort):
            confirm("Delete it?", yes=False)
    else:
        confirm("Delete it?", yes=False)
