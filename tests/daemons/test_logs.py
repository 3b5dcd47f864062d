"""Logs of daemons: text, JSON lines, a file, levels; and what the journal gets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.daemons.logs import JournalLine, LogWish, begin
from sylvite.errors import InvalidSetting

logger = logging.getLogger("sylvite.test_logs")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def fail() -> None:
    try:
        raise ValueError("it is wrong\nin two lines")
    except ValueError:
        logger.exception("not done: %d", 7)


def test_a_line_for_people_says_when_who_and_how_bad(capsys: pytest.CaptureFixture[str]) -> None:
    begin(LogWish())
    logger.info("one")
    logger.warning("two")
    logger.debug("three")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(" sylvite.test_logs: one")
    assert second.endswith(" sylvite.test_logs: warning: two")


def test_a_line_of_json_has_everything_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    begin(LogWish(form="json"))
    logger.info("said «%s»\n", "yes")
    fail()
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "info", "logger": "sylvite.test_logs", "message": "said «yes»\n"}
    assert (second["level"], second["message"]) == ("error", "not done: 7")
    assert second["error"] == "ValueError: it is wrong\nin two lines"
    assert "traceback" not in second


def test_tracebacks_are_in_json_at_level_debug(capsys: pytest.CaptureFixture[str]) -> None:
    begin(LogWish(level="debug", form="json"))
    fail()
    assert "in fail" in json.loads(capsys.readouterr().err)["traceback"]


def test_a_file_has_a_level_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(LogWish(level="quiet", file=tmp_path / "log", file_level="debug"))
    logger.debug("fine")
    logger.critical("bad")
    assert capsys.readouterr().err == ""
    assert [line.split(": ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()] == ["fine", "critical: bad"]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_moved_away_is_made_again(tmp_path: Path) -> None:
    """As logrotate does it, without a signal."""
    begin(LogWish(level="info", file=tmp_path / "log"))
    logger.info("one")
    (tmp_path / "log").rename(tmp_path / "log.1")
    logger.info("two")
    assert (tmp_path / "log.1").read_text().endswith("one\n")
    assert (tmp_path / "log").read_text().endswith("two\n")


@pytest.mark.parametrize("planted", ["link", "folder", "nowhere"])
def test_what_is_no_file_is_not_written_to(tmp_path: Path, planted: str) -> None:
    begin(LogWish())
    before = logging.getLogger().handlers[:]
    path = tmp_path / "log"
    if planted == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif planted == "folder":
        path.mkdir()
    else:
        path = tmp_path / "not" / "there"
    with pytest.raises(InvalidSetting, match="log_file"):
        begin(LogWish(file=path))
    assert not (tmp_path / "elsewhere").exists()
    assert logging.getLogger().handlers == before


def test_a_full_disk_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(LogWish(file=tmp_path / "log"))
    (tmp_path / "log").unlink()
    (tmp_path / "log").symlink_to("/dev/full")
    logger.info("one")
    logger.info("two")
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 1
    assert "Traceback" not in said
    assert said.count("sylvite.test_logs") == 2


def test_the_journal_gets_the_priority_of_each_line() -> None:
    line = JournalLine()

    def made(level: int) -> str:
        return line.format(logging.LogRecord("x", level, "", 0, "a\nb", None, None))

    assert made(logging.DEBUG) == "<7>a\n<7>b"
    assert made(logging.INFO) == "<6>a\n<6>b"
    assert made(logging.WARNING) == "<4>a\n<4>b"
    assert made(logging.ERROR) == "<3>a\n<3>b"
