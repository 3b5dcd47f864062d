"""D-03: hostile tags and names: none leads to a file, and none is taken that the grammar does not allow."""

from __future__ import annotations

import ast
import os
import random
import select
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from sylvite.core import tag as tag_module
from sylvite.core.tag import TAG_BYTES_MAX, check_tag
from sylvite.errors import InvalidTag, SylviteError
from sylvite.wire.messages import VERSION, Ask, Hello, Start, encode
from tests.faults.raw_peer import RawPeer
from tests.faults.report import report
from tests.fuzz.mutate import TEXTS

ROOT = Path(__file__).parents[2]
LONG_NAMES = int(os.environ.get("SYLVITE_FAULTS_NAMES", "10000"))
LONG_PARTS = 10
PIECES = (
    *TEXTS, "..", "/", "//", "./", "~", "/etc/passwd", "/dev/null", "\\", "C:", "con", ".lock", "LOG", "lock", "cursors", "cursors.new",
    "seg-00000000000000000000.log", "quarantine/x", "\0x", "%2e%2e%2f", "\r", "\t", "\x7f", "\x85", "\u2029", "\u2066", "\ufeff", "\u200d",
    "ﬁ", "Å", "ä", "|", ";", "$(id)", "`id`", "&", "*", "?", "{{7*7}}", "!!python", "sylvite/", "salt/", " ", "-", "--", "@file", "a" * 255,
)  # fmt: skip
OWN_FILES = {
    "LOG",
    "LOG.new",
    "lock",
    "cursors",
    "cursors.new",
    "cursors.previous",
    "cursors.previous.new",
    "quarantine",
}


def hostile_names(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 5))) for _ in range(count)]


def may_be_a_name(text: str) -> bool:
    """The grammar of docs/protocol.md, written a second time: by what Unicode says of each character."""
    turns = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return all(
        unicodedata.category(each) not in ("Cc", "Cs", "Zl", "Zp") and unicodedata.bidirectional(each) not in turns
        for each in text
    )


def _check_tags(seed: int, count: int, *, without: str | None = None) -> None:
    wrong = taken = 0
    for text in hostile_names(seed, count):
        wanted = bool(text) and len(text.encode("utf-8", "surrogatepass")) <= TAG_BYTES_MAX and may_be_a_name(text)
        try:
            check_tag(text)
        except InvalidTag:
            wrong += wanted
        else:
            taken += 1
            wrong += not wanted
    counters = {"outside_the_grammar": wrong, "taken": taken}
    report("D-03", seed=seed, runs=count, counters=counters, target={"outside_the_grammar": 0}, without=without)


def test_a_tag_is_taken_by_the_grammar_alone() -> None:
    _check_tags(1, 10_000)


def test_without_the_grammar_it_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: nothing is unfit."""

    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr(tag_module, "unfit_in", nothing)
    with pytest.raises(AssertionError, match='"row": "D-03"'):
        _check_tags(1, 10_000, without="the grammar of tags")


@contextmanager
def _audited(folder: Path, told: Path, *arguments: str) -> Generator[Path]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.audited_broker", str(told), str(folder), *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, process_group=0,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert select.select([process.stdout], [], [], 60)[0]
        assert process.stdout.readline() == b"ready\n"
        yield folder / "bus.sock"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _use(place: Path, names: list[str]) -> None:
    """Each name as a tag, a pattern, a cursor, a verb, an argument and the name of a client."""
    with Client.connect(place) as client:
        for number, name in enumerate(names):
            for use in (
                lambda name=name: client.publish(name, {}, level="written"),
                lambda name=name: client.subscribe(startswith=name, cursor=name).close(),
                lambda name=name: client.ask("cursor_delete", name=name + "x"),
                lambda name=name: client.ask("cursor_seek", name=name, to=Start("oldest")),
                lambda name=name: client.ask(name),
            ):
                _try(use)
            if number % 20 == 0:
                with RawPeer(place) as peer:
                    said = name.encode("utf-8", "replace").decode()
                    peer.socket.sendall(encode(Hello(VERSION, said, number)) + encode(Ask(1, said, {"name": said})))


def _try(use: Callable[[], object]) -> None:
    try:
        use()
    except (SylviteError, UnicodeEncodeError):
        pass  # Refused, here or there.


def _opened_outside(told: Path, folder: Path) -> list[str]:
    found: list[str] = []
    for line in told.read_text().splitlines():
        event, _, shown = line.partition("\t")
        path = str(ast.literal_eval(shown)) if event.startswith(("open", "os.")) and shown[:1] in "'\"" else shown
        if event in ("import", "compile", "exec", "os.listdir"):
            continue  # Modules are loaded when they are first wanted; what is not below `folder` is told by `open`.
        is_module = path.startswith((sys.prefix, sys.base_prefix, str(ROOT / "src"), str(ROOT / "tests")))
        is_ours = path.startswith(f"{folder}/") and ".." not in path and path.split("/")[-1] in (
            "bus.sock", "bus.sock.lock", "log"
        )  # fmt: skip
        is_of_the_log = path in OWN_FILES or path.startswith(("seg-", "quarantine/torn-"))
        if not (is_module or is_ours or is_of_the_log or path in (os.devnull, str(folder))):
            found.append(f"{event} {path!r}")
    return found


def _name_all(root: Path, seed: int, count: int, *arguments: str, without: str | None = None) -> None:
    folder, told = root / "bus", root / "told"
    names = hostile_names(seed, count)
    for _ in range(2):  # The second one reads what the first has written.
        with _audited(folder, told, *arguments) as place:
            _use(place, names)
    outside = _opened_outside(told, folder)
    with _audited(folder, told) as place, Client.connect(place) as client:
        cursors = [cursor["name"] for cursor in client.ask("cursors")["cursors"]]
    unfit = [name for name in cursors if not may_be_a_name(name)]
    assert told.stat().st_size > 1000, "nothing was told"
    assert cursors, "no cursor was made"
    counters = {"opened_outside": len(outside), "outside_the_grammar": len(unfit), "cursors": len(cursors)}
    if outside:
        print(outside[:5])  # noqa: T201 - beside the row that fails
    target = {"opened_outside": 0, "outside_the_grammar": 0}
    report("D-03", seed=seed, runs=count, counters=counters, target=target, without=without)


def test_no_name_leads_to_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    _name_all(tmp_path_factory.mktemp("d03"), 2, 150)


@pytest.mark.long
@pytest.mark.parametrize("part", range(LONG_PARTS))
def test_none_of_very_many_names_leads_to_a_file(tmp_path_factory: pytest.TempPathFactory, part: int) -> None:
    """10,000 of them, for a broker after the other, so that none of these looks as if it hung."""
    _name_all(tmp_path_factory.mktemp("d03"), 3 + part, LONG_NAMES // LONG_PARTS)


def test_a_broker_that_opens_files_by_name_is_found_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control."""
    with pytest.raises(AssertionError, match='"row": "D-03"'):
        _name_all(tmp_path_factory.mktemp("d03"), 2, 40, "by name", without="names that are no paths")
