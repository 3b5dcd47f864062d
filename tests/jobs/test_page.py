"""docs/jobs.md: what stands in it happens, with a real master and real minions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keyring_folder import KeyFolder, load_public
from sylvite.auth.keys import make_pair
from sylvite.cli import exit_codes
from sylvite.cli.jobs_run import run
from sylvite.jobs.local_client import LocalClient
from sylvite.jobs.minions import read_minions
from tests.daemons.nodes import Daemon, Site, until
from tests.docs.blocks import PROJECT, blocks, table_under
from tests.docs.session import Session

PAGE = PROJECT / "docs" / "jobs.md"
MINIONS = ("web1", "web2")
AWAY = "db1"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(site.master())
        with KeyFolder(site.data / "keys") as folder:
            finger = load_public(folder, "master").fingerprint
        for minion in MINIONS:
            file = tmp_path / f"{minion}.yaml"
            site.write(
                file,
                minion,
                id=minion,
                master=f"127.0.0.1:{site.port}",
                master_finger=f'"{finger}"',
                acceptance_wait_time="1",
            )
            stack.enter_context(Daemon(tmp_path, "minion", "--config", str(file)))
        with Keyring.open(site.data / "keys") as keyring:
            for minion in MINIONS:
                with KeyFolder(tmp_path / minion / "pki") as folder:
                    keyring.expect(minion, load_public(folder, "minion").fingerprint, time.time_ns())
            away = make_pair().public
            keyring.ask(AWAY, away, "10.0.0.9", time.time_ns())
            keyring.accept(AWAY, away.fingerprint, time.time_ns())
            announce(keyring, lambda events: None)
        with read_minions(site.data / "minions.db") as reader:
            until(lambda: tuple(reader.grains()) == MINIONS)
        yield site


def test_what_the_page_shows_happens(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page").mkdir()
    session = Session(tmp_path / "page", monkeypatch, needs_broker=False)
    monkeypatch.setenv("SYLVITE_SOCKET", str(site.bus))
    monkeypatch.setenv("SYLVITE_DIR", str(site.data))
    with session:
        for block in blocks(PAGE):
            session.play(block)


def test_every_method_is_named() -> None:
    named = {name.strip(" `") for row in table_under(PAGE, "From Python") for name in row[0].split(",")}
    not_of_salt = {"connect", "close", "start", "start_batch", "new_jid", "here", "choose_subset", "shape_missing"}
    assert named == {name for name in vars(LocalClient) if not name.startswith("_")} - not_of_salt


def test_every_option_that_is_named_is_there() -> None:
    known = {name for parameter in run.params for name in parameter.opts}
    for row in table_under(PAGE, "Options"):
        for word in row[0].replace("`", "").replace(",", " ").split():
            if word.startswith("-") and word not in ("-v", "--json"):
                assert word in known


def test_exit_codes() -> None:
    codes = {int(row[0]) for row in table_under(PAGE, "Run")}
    assert codes == {
        exit_codes.DONE, exit_codes.NO, exit_codes.USAGE, exit_codes.NOT_REACHABLE, exit_codes.NOT_ALLOWED,
        exit_codes.INTERRUPTED,
    }  # fmt: skip
