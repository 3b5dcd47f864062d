"""What plays the pages: that it notices what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.blocks import Block, Command, commands
from tests.docs.session import Session, masked


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with pytest.MonkeyPatch.context() as patch, Session(tmp_path_factory.mktemp("page"), patch) as started:
        yield started


def block(kind: str, text: str, argument: str = "") -> Block:
    return Block("page.md", 1, kind, argument, text)


@pytest.mark.parametrize(
    "wrong",
    [
        [block("console", "$ echo one\ntwo\n")],
        [block("console", "$ echo one\n")],
        [block("console", "$ true\nsomething\n")],
        [block("console", "$ sylvite get @77; echo $?\n0\n")],
        [block("console", "$ echo one\ntwo\n", "live"), block("console", "$ true\n")],
        [block("python", "print(1)\n"), block("output", "2\n")],
        [block("python", "assert False\n")],
        [block("python", "def test_it():\n    assert False\n", "pytest")],
    ],
)
def test_a_page_that_is_wrong_fails(session: Session, wrong: list[Block]) -> None:
    with pytest.raises(AssertionError):
        for each in wrong:
            session.play(each)


def test_a_setting_that_is_none_fails(session: Session) -> None:
    with pytest.raises(ValueError, match="is not a setting"):
        session.play(block("yaml", "polizy: {}\n", "broker.yaml"))


def test_a_block_of_another_kind_fails(session: Session) -> None:
    with pytest.raises(pytest.fail.Exception, match="nobody knows"):
        session.play(block("ruby", "puts 1\n"))


def test_commands_and_what_they_print() -> None:
    cut = commands(block("console", "$ one\nfirst\nsecond\n$ for x in 1 2\n> do :; done\n$ three\n"))
    assert cut == [Command("one", "first\nsecond\n"), Command("for x in 1 2\ndo :; done", ""), Command("three", "")]


def test_only_what_differs_from_run_to_run_is_masked() -> None:
    line = "15:49:08.486  @0  myco/deploy/done  version=1.4.2 ok=true"
    assert masked(line) == masked(line.replace("15:49:08.486", "03:00:00.001"))
    for changed in (line.replace("@0", "@1"), line.replace("ok=true", "ok=false"), line.replace("done", "start")):
        assert masked(line) != masked(changed)
