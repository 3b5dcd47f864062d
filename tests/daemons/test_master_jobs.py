"""Jobs from a real master to real minions: run, kept, looked up, ended; and what happens when parts of the master go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sylvite import AsyncLocalClient, Client, LocalClient, MasterPlace
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_public
from sylvite.daemons.options.reading import load_master
from sylvite.errors import JobStoreFailed, NoSuchJob
from sylvite.jobs.minions import read_minions
from sylvite.jobs.store import read_jobs
from tests.daemons.nodes import Daemon, Site, children_of, part_of

WITHIN_S = 60.0


def cli(site: Site, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "sylvite", "jobs", command, "-c", str(site.master_file), *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=WITHIN_S, check=False)


def place_of(site: Site) -> MasterPlace:
    return MasterPlace.of(load_master(site.master_file).options)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def let_in(site: Site) -> None:
    """Wait until the minion is here, and its grains are known."""
    with Client.connect(site.bus) as bus:
        bus.wait(f"salt/minion/{site.id}/start", since="oldest", timeout_s=WITHIN_S)
    with read_minions(site.data / "minions.db") as reader:
        until(lambda: reader.present() == [site.id] and bool(reader.grains_of(site.id)))


@contextmanager
def running(folder: Path, **options: str) -> Generator[tuple[Site, Daemon]]:
    """A master with a minion that is here."""
    site = Site(folder)
    options = {"timeout": "2", "gather_job_timeout": "3", **options}
    site.write(site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port), id="master", **options)
    with site.master() as master:
        with KeyFolder(site.data / "keys") as keys:
            finger = load_public(keys, "master").fingerprint
        site.configure_minion(master_finger=f'"{finger}"', acceptance_wait_time="1")
        with site.minion():
            with KeyFolder(folder / "n" / "pki") as keys:
                fingerprint = load_public(keys, "minion").fingerprint
            with Keyring.open(site.data / "keys") as keyring:
                keyring.expect(site.id, fingerprint, time.time_ns())
            let_in(site)
            yield site, master


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Daemon]]:
    with running(tmp_path_factory.mktemp("both")) as started:
        yield started


@pytest.fixture
def site(both: tuple[Site, Daemon]) -> Site:
    return both[0]


@pytest.fixture
def local(site: Site) -> Iterator[LocalClient]:
    with LocalClient.connect(place_of(site)) as client:
        yield client


def kept(site: Site, jid: str) -> Any:
    """Return a job once all its minions have answered, and what they have answered."""
    with read_jobs(site.data / "jobs.db") as reader:

        def is_kept() -> bool:
            try:
                return not reader.find(jid).is_active
            except NoSuchJob:
                return False

        until(is_kept)
        return reader.find(jid), reader.answers(jid)


def test_a_job_goes_there_and_back(site: Site, local: LocalClient) -> None:
    assert local.cmd("*", "test.ping") == {"alpha": True}
    assert local.cmd("id:alpha", "test.arg", ["a"], tgt_type="grain", kwarg={"b": 1})["alpha"]["args"] == ["a"]
    done = cli(site, "run", "*", "test.ping")
    assert (done.returncode, done.stdout, done.stderr) == (0, "alpha:\n    True\n", "")
    done = cli(site, "run", "alpha", "no.such")
    assert (done.returncode, done.stdout) == (1, "alpha:\n    'no.such' is not available.\n")


def test_with_asyncio(site: Site) -> None:
    async def run() -> None:
        async with AsyncLocalClient.connect(place_of(site)) as local:
            assert await local.cmd("*", "test.ping") == {"alpha": True}
            assert [each async for each in local.cmd_batch("*", "test.ping")] == [{"alpha": True}]

    asyncio.run(run())


def test_events_of_a_job(site: Site, local: LocalClient) -> None:
    """In Salt's order, with Salt's fields: golden/events_by_class.txt."""
    with Client.connect(site.bus) as bus, bus.subscribe("salt/job/") as events:
        local.cmd("alpha", "test.ping", start_event=True, metadata={"why": "a test"})
        found = [event for _ in range(4) if (event := events.next(WITHIN_S)) is not None]
    jid = found[0].data["jid"]
    assert [event.tag for event in found] == [
        f"salt/job/{jid}/{what}" for what in ("new", "publish", "start/alpha", "ret/alpha")
    ]
    returned = found[3].data
    assert returned["metadata"] == {"why": "a test"}
    fields = {"cmd", "id", "success", "return", "retcode", "jid", "fun", "fun_args", "user", "ts"}
    assert fields <= set(returned)


def test_jobs_are_kept_with_their_returns(site: Site, local: LocalClient) -> None:
    jid = local.cmd_async("alpha", "test.arg", ["a"], metadata={"why": "a test"})
    assert isinstance(jid, str)
    found, answers = kept(site, jid)
    assert (found.job.fun, found.job.arg, found.job.metadata) == ("test.arg", ("a",), {"why": "a test"})
    assert answers[0].value["args"] == ["a"]
    assert local.get_cache_returns(jid)["alpha"]["ret"]["args"] == ["a"]
    shown = json.loads(cli(site, "show", jid, "--json").stdout)
    assert shown["Result"]["alpha"]["retcode"] == 0
    assert jid in cli(site, "list").stdout


def test_a_job_that_takes_long_is_waited_for_and_can_be_seen_and_ended(site: Site, local: LocalClient) -> None:
    """It runs for longer than `timeout` and `gather_job_timeout` together; then somebody ends it."""
    _, returns = local.start("alpha", "test.sleep", [600])
    with returns:
        assert returns.next(6.0) is None
        assert not returns.ended
        active = json.loads(cli(site, "active", "--json").stdout)
        assert list(active) == [returns.jid]
        assert list(active[returns.jid]["Running"][0]) == ["alpha"]
        done = cli(site, "kill", returns.jid)
        assert (done.returncode, "Signal 9 sent to job" in done.stdout) == (0, True)
        (found,) = returns
        assert found.data["success"] is False
    assert json.loads(cli(site, "active", "--json").stdout) == {}


def test_what_keeps_jobs_is_killed_and_goes_on_where_it_was(both: tuple[Site, Daemon], local: LocalClient) -> None:
    site, master = both
    jids: list[str] = []
    for _ in range(3):
        for _ in range(3):
            (returned,) = local.cmd("alpha", "test.ping", full_return=True).values()
            jids.append(returned["jid"])
        os.kill(part_of(master, "jobs"), signal.SIGKILL)
    for jid in jids:
        found, answers = kept(site, jid)
        assert (found.returned, answers[0].value) == (1, True)


def test_a_broker_that_is_killed_while_a_job_runs_costs_nothing(both: tuple[Site, Daemon], local: LocalClient) -> None:
    """The return comes once broker and link are back."""
    site, master = both
    _, returns = local.start("alpha", "test.sleep", [3], timeout_s=WITHIN_S)
    with returns:
        os.kill(part_of(master, "broker"), signal.SIGKILL)
        assert [(each.minion, each.data["return"]) for each in returns] == [("alpha", True)]
    assert kept(site, returns.jid)[0].returned == 1


@contextmanager
def without_link(master: Daemon) -> Generator[None]:
    """The link is killed, and nobody starts it again meanwhile."""
    os.kill(master.pid, signal.SIGSTOP)
    try:
        os.kill(part_of(master, "link"), signal.SIGKILL)
        yield
    finally:
        os.kill(master.pid, signal.SIGCONT)


def test_a_job_that_is_published_while_the_link_is_away_goes_down_when_it_is_back(
    both: tuple[Site, Daemon], local: LocalClient
) -> None:
    """Once; and none that went down before goes down again."""
    site, master = both
    before = local.cmd("alpha", "test.ping", full_return=True)["alpha"]["jid"]
    with without_link(master):
        _, returns = local.start("alpha", "test.ping", timeout_s=WITHIN_S)
    with returns:
        assert [(each.minion, each.data["return"]) for each in returns] == [("alpha", True)]
    assert local.cmd("alpha", "test.ping", timeout_s=WITHIN_S) == {"alpha": True}
    with Client.connect(site.minion_bus) as bus, bus.subscribe("salt/job/", since="oldest", until_end=True) as events:
        tags = [event.tag for event in events]
    assert [tags.count(f"salt/job/{jid}/publish") for jid in (before, returns.jid)] == [1, 1]


def test_a_job_that_has_become_old_while_the_link_was_away_does_not_go_down(tmp_path: Path) -> None:
    with (
        running(tmp_path, timeout="1", gather_job_timeout="1") as (site, master),
        LocalClient.connect(place_of(site)) as local,
    ):
        with without_link(master):
            old = str(local.cmd_async("alpha", "test.ping"))
            published_s = time.monotonic()
            until(lambda: time.monotonic() > published_s + 2.1)
        until(lambda: local.cmd("alpha", "test.ping") == {"alpha": True})
        assert kept(site, old)[0].returned == 0
        with (
            Client.connect(site.minion_bus) as bus,
            bus.subscribe("salt/job/", since="oldest", until_end=True) as events,
        ):
            tags = [event.tag for event in events]
        assert f"salt/job/{old}/publish" not in tags


def test_a_job_whose_minion_is_silent_ends(tmp_path: Path) -> None:
    """It was killed while it ran one job, and was away when the next one was published: neither is waited for for ever."""
    with (
        running(tmp_path, timeout="1", gather_job_timeout="1") as (site, _),
        LocalClient.connect(place_of(site)) as local,
        read_minions(site.data / "minions.db") as minions,
        read_jobs(site.data / "jobs.db") as jobs,
    ):
        interrupted = str(local.cmd_async("alpha", "test.sleep", [600]))
        until(lambda: local.cmd("alpha", "saltutil.find_job", [interrupted])["alpha"] not in ({}, False))
        os.kill(minion_of(site), signal.SIGKILL)
        until(lambda: minions.present() == [])
        missed = str(local.cmd_async("alpha", "test.ping"))
        assert kept(site, missed)[0].returned == 0
        said = cli(site, "show", missed).stderr
        assert "\nended        " in said
        assert "\ngave up      alpha\n" in said
        assert jobs.find(interrupted).is_active, "it may still run: nobody knows"
        with site.minion():
            assert kept(site, interrupted)[0].returned == 0
        listed = json.loads(cli(site, "list", "--json").stdout)
        assert all("Ended" in listed[jid] for jid in (interrupted, missed))


def minion_of(site: Site) -> int:
    """Return the process id of a site's minion."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = file.read_text().split("\0")
            if "minion" in words and str(site.minion_file) in words:
                return int(file.parent.name)
    raise AssertionError("there is none")


def test_a_master_that_keeps_no_jobs(tmp_path: Path) -> None:
    with running(tmp_path, job_cache="false") as (site, master):
        assert "jobs" not in children_of(master.pid)
        with LocalClient.connect(place_of(site)) as local:
            (returned,) = local.cmd("*", "test.ping", full_return=True).values()
            with pytest.raises(JobStoreFailed):
                local.get_cache_returns(returned["jid"])
        assert cli(site, "show", returned["jid"]).returncode == 74
        assert cli(site, "active").returncode == 0


def test_a_store_that_is_damaged_costs_nothing_but_looking_jobs_up(tmp_path: Path) -> None:
    """The master starts, and jobs run; once the file is moved away, what has happened since is kept too."""
    store = tmp_path / "m" / "data" / "jobs.db"
    store.parent.mkdir(parents=True, mode=0o700)
    store.parent.chmod(0o700)
    store.write_bytes(b"no database" * 1000)
    store.chmod(0o600)
    with running(tmp_path) as (site, master), LocalClient.connect(place_of(site)) as local:
        (returned,) = local.cmd("*", "test.ping", full_return=True).values()
        done = cli(site, "show", returned["jid"])
        assert (done.returncode, "damaged" in done.stderr) == (74, True)
        assert "damaged" in master.log.read_text()
        store.rename(store.with_suffix(".away"))
        until(lambda: cli(site, "list").returncode == 0)
        assert kept(site, returned["jid"])[0].returned == 1
