"""Every command and every snippet of Salt's page on events, run as it is written there, on a master and a minion of ours."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest

from sylvite.client.sync_client import Client
from tests.compat.event_page import CLAIMS, NAMED, OPENED, PAGE, ROWS, TOKEN, Fires, Listens, Row, names_in_the_text
from tests.compat.nodes import MINION, Nodes, running_nodes
from tests.compat.places import WITHIN_S, run_program, subscriptions, wait_until

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


@pytest.fixture(scope="module", params=["ipc", "tcp"])
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    if request.param == "ipc":
        yield request.getfixturevalue("nodes")
    else:
        with running_nodes(tmp_path_factory.mktemp("tcp"), "tcp") as found:
            yield found


class Started:
    """A text for a shell or for Python, running, in a process group of its own: a context manager."""

    def __init__(self, environment: Mapping[str, str], text: str, *, is_shell: bool) -> None:
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        self._process = subprocess.Popen(
            ["sh", "-c", text] if is_shell else [sys.executable, "-c", text],
            stdin=subprocess.DEVNULL, stdout=self._printed, stderr=subprocess.STDOUT, env=environment, start_new_session=True,
        )  # fmt: skip

    @property
    def printed(self) -> str:
        return STAMP.sub("STAMP", os.pread(self._printed.fileno(), 1 << 20, 0).decode())

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        return self._process.wait(WITHIN_S)

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.wait()
        self._printed.close()


def for_here(nodes: Nodes, text: str) -> str:
    """Put our minion and a token of ours in the place of the page's."""
    if TOKEN in text:
        command = ["tokens", "create", "alice", "-s", "events:read:**", "--dir", str(nodes.site.data)]
        made = subprocess.run(
            [sys.executable, "-m", "sylvite", "-q", *command], capture_output=True, text=True, check=True, timeout=WITHIN_S
        )  # fmt: skip
        text = text.replace(TOKEN, made.stdout.strip())
    return text.replace("minionname", MINION)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.place))
def test_a_block_of_the_page(here: Nodes, row: Row) -> None:
    text, is_shell, environment = row.text, row.is_shell, here.environment
    if row.where_clients_look:
        environment = {**environment, "SYLVITE_SOCKET": str(here.bus("minion"))}
    if row.then:
        place = here.site.folder / text.partition("\n")[0].removeprefix("# /")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        text, is_shell = row.line, True
    start = partial(Started, environment, for_here(here, text), is_shell=is_shell)
    with Client.connect(here.bus(row.does.node)) as bus:
        if isinstance(row.does, Listens):
            listen(bus, start, row.does)
        else:
            fire(bus, start, row.does._replace(shown=for_here(here, row.does.shown)))


def listen(bus: Client, start: Callable[[], Started], expected: Listens) -> None:
    before = subscriptions(bus)
    with start() as program:
        wait_until(lambda: bool(subscriptions(bus) - before) or program.has_ended, "it listens")
        for tag, data in expected.fired:
            bus.publish(tag, data)
        wait_until(lambda: expected.shown in program.printed or program.has_ended, "it prints what was fired")
        assert expected.shown in program.printed
    wait_until(lambda: not subscriptions(bus) - before, "it listens no more")


def fire(bus: Client, start: Callable[[], Started], expected: Fires) -> None:
    with bus.subscribe(exact=[expected.tag]) as events:
        with start() as program:
            code = program.wait()
            assert (program.printed, code) == (expected.shown, 0)
        event = events.next(WITHIN_S)
    assert event is not None
    for name, value in expected.data.items():
        found = event.data[name]
        assert found.items() >= value.items() if isinstance(value, dict) else found == value


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_the_page_says_in_words(here: Nodes, claim: str) -> None:
    source, printed = CLAIMS[claim]
    assert run_program(OPENED + source, env=here.environment) == printed


def test_its_one_line_that_salt_does_not_take_either(nodes: Nodes) -> None:
    """With a colon in the name of a function; the table corrects it."""
    with Started(nodes.environment, "salt '*' my_custom_module:do_something", is_shell=True) as program:
        assert program.wait() == 1
        assert program.printed.startswith(f"{MINION}:\n    'my_custom_module:do_something' is not available.\n")


def test_no_block_of_the_page_is_missing() -> None:
    assert [row.place for row in ROWS] == list(PAGE), "each has its row, in the order of the page"
    for row in ROWS:
        for written, _ in row.corrected:
            assert written in PAGE[row.place], "what is corrected stands there"


def test_no_command_within_a_block_is_missing() -> None:
    """The example in the docstring of the module, which `then` runs."""
    programs = [
        path.strip()
        for row in ROWS
        if not row.is_shell
        for path in re.findall(r"^ +(salt[ -].*)$", PAGE[row.place], re.M)
    ]
    assert programs == [row.then for row in ROWS if row.then]


def test_no_name_in_the_text_is_missing() -> None:
    assert set(names_in_the_text()) == set(NAMED)
    places = {row.place for row in ROWS}
    assert all(shown in places or shown in CLAIMS for shown in NAMED.values())
