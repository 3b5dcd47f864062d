"""`sylvite cluster join` and `leave`: a master comes into a cluster and goes, and what keeps it out is said."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nats.js.api import StreamConfig

from sylvite.cli.exit_codes import CONFIGURATION, DONE, NO, NOT_ALLOWED, NOT_REACHABLE, TIMEOUT, USAGE
from sylvite.cli.main import main
from sylvite.client.sync_client import Client
from sylvite.cluster import clock, connection
from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import NAMES, Allowed, DevCluster
from sylvite.cluster.permissions import allowed_of
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.shared import Shared
from sylvite.errors import InvalidSetting, SylviteError
from tests.cli.program import Done, Program
from tests.cluster.servers import make_whole
from tests.daemons.nodes import Daemon, Site, until

MASTERS = ("mars", "venus")
NARROW = Allowed(("$SYS.REQ.USER.INFO", "$JS.API.INFO", "$JS.API.STREAM.INFO.>"), ("_INBOX.>",))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Generator[DevCluster]:
    users = {name: allowed_of(ClusterSettings(), name) for name in MASTERS}
    with DevCluster(tmp_path_factory.mktemp("nats"), {**users, "narrow": NARROW, "master": Allowed()}) as servers:
        yield servers


@pytest.fixture
def servers(started: DevCluster) -> Generator[DevCluster]:
    yield started
    make_whole(started)


class Place:
    """A master on its own, and the program beside it."""

    def __init__(self, folder: Path, servers: DevCluster, node: str) -> None:
        folder.mkdir()
        self.site = Site(folder)
        self.node, self.servers = node, servers
        self.site.write(
            self.site.master_file, "m", interface="127.0.0.1", ret_port=str(self.site.port), id=node, job_cache="false",
            salt_sockets="false",
        )  # fmt: skip
        self.file = folder / "master.d" / "cluster.conf"
        self.program = Program(folder / "none.sock", folder)
        del self.program.environment["SYLVITE_SOCKET"]

    def join(self, *words: str, user: str | None = None) -> Done:
        return self.program(*self.words(*words, user=user))

    def words(self, *words: str, user: str | None = None) -> list[str]:
        credentials = str(self.servers.credentials(user or self.node))
        main_file = str(self.site.master_file)
        return ["cluster", "join", *self.servers.urls, "--credentials", credentials, "-c", main_file, *words]

    def leave(self, *words: str) -> Done:
        return self.program("cluster", "leave", "-y", "-c", str(self.site.master_file), *words)

    @contextmanager
    def running(self) -> Generator[tuple[Daemon, Client]]:
        with self.site.master() as master, Client.connect(self.site.bus) as client:
            yield master, client

    def shows(self, text: str, *words: str) -> bool:
        done = self.program("cluster", "status", "-c", str(self.site.master_file), *words)
        return text in done.out


def replicates(client: Client) -> bool:
    try:
        client.publish("t", {}, level="replicated", timeout_s=5.0)
    except SylviteError:
        return False
    return True


def test_a_master_joins_while_it_runs_and_leaves_again(servers: DevCluster, tmp_path: Path) -> None:
    mars, venus = Place(tmp_path / "mars", servers, "mars"), Place(tmp_path / "venus", servers, "venus")
    with mars.running() as (master, client):
        client.publish("before", {})
        done = mars.join("--json")
        assert done.code == DONE, done
        said = json.loads(done.out)
        assert (said["node"], said["joined"], said["changed"], said["reloaded"]) == ("mars", True, True, True)
        assert said["file"] == str(mars.file)
        assert mars.file.stat().st_mode & 0o777 == 0o644
        assert mars.program("config", "check", "-c", str(mars.site.master_file)).code == DONE
        until(lambda: replicates(client), f"the bridge does not begin: {master.log.read_text()}")

        written = mars.file.stat()
        again = mars.join()
        assert (again.code, again.lines) == (DONE, [f"mars has joined already: {mars.file}; nothing was changed"])
        assert mars.file.stat() == written
        done = mars.join("--replicas", "1")
        assert (done.code, "`sylvite cluster leave` first" in done.err) == (USAGE, True)

        # Another one: its name, then its key keep it out.
        done = venus.join("--node", "mars", user="mars")
        assert (done.code, venus.file.exists()) == (NO, False)
        assert "FAIL  name: another master is called 'mars' and is there, on " in done.out
        assert "venus has not joined" not in done.err
        done = venus.join()
        assert done.code == NO
        assert "has none yet" in done.out
        assert "copy master.key and master.pub from the keys of mars" in done.out

        done = venus.program("cluster", "leave", "--node", "mars", "-y", "--servers", servers.urls[0],
                             "--credentials", str(servers.credentials("mars")))  # fmt: skip
        assert done.code == NO
        assert "has not left: its bridge is there" in done.err

        done = mars.leave("--json")
        assert done.code == DONE, (done, master.log.read_text())
        assert json.loads(done.out)["left"] is True
        assert not mars.file.exists()
        with pytest.raises(InvalidSetting, match="needs a cluster"):
            client.publish("t", {}, level="replicated")
        assert mars.leave().lines == ["mars is in no cluster: nothing to do"]
        urls = ("--servers", ",".join(servers.urls), "--credentials", str(servers.credentials("mars")))
        assert mars.shows("left", *urls)
        assert mars.join().code == DONE
        until(lambda: replicates(client), "the bridge does not begin again")


def test_one_that_has_gone_for_ever_is_taken_away(servers: DevCluster, tmp_path: Path) -> None:
    async def share() -> None:
        wanted = ClusterSettings(servers=tuple(servers.urls), credentials=str(servers.credentials("mars")), node="mars")
        async with await Connection.open(wanted) as there:
            await Shared(there, "mars").put("things", "a.b", b"1")

    place = Place(tmp_path / "venus", servers, "venus")
    words = ("cluster", "leave", "--node", "mars", "--servers", servers.urls[0], "--credentials",
             str(servers.credentials("mars")))  # fmt: skip
    done = place.program(*words, "-y")
    assert (done.code, "nothing is known of a master 'mars'" in done.err) == (NO, True)
    asyncio.run(share())
    done = place.program(*words)
    assert (done.code, "There is no terminal to answer on: add -y" in done.err) == (USAGE, True)
    done = place.program(*words, "-y")
    assert (done.code, done.lines) == (DONE, ["mars has left; 1 entries of it are taken away"]), done
    done = place.program(*words[:-1], str(servers.credentials("venus")), "-y")
    assert done.code == NOT_ALLOWED


def test_leaving_waits_for_the_log_and_does_not_pretend(servers: DevCluster, tmp_path: Path) -> None:
    mars = Place(tmp_path / "mars", servers, "mars")
    assert mars.join().code == DONE
    assert mars.leave().code == NOT_REACHABLE
    assert mars.file.exists()
    with mars.running() as (_, client):
        until(lambda: replicates(client), "the bridge does not begin")
        for name in NAMES:
            servers.pause(name)
        for _ in range(7):
            client.publish("t")
        done = mars.leave("--timeout", "1s")
        assert done.code == TIMEOUT, done
        assert "events of this master's log after 1 s; nothing was changed" in done.err
        assert "waiting until the stream has" in done.err
        assert mars.file.exists()
        for name in NAMES:
            servers.resume(name)
        until(lambda: replicates(client), "the servers are not together again")


@pytest.mark.long
def test_a_master_whose_name_is_taken_ends_with_all_its_parts(servers: DevCluster, tmp_path: Path) -> None:
    first, later = Place(tmp_path / "first", servers, "mars"), Place(tmp_path / "later", servers, "mars")
    assert first.join().code == later.join().code == DONE
    with first.running() as (_, client):
        until(lambda: replicates(client), "the bridge does not begin")
        with later.site.master() as second:
            assert second.wait() == CONFIGURATION
            assert "the name 'mars' belongs to another master" in second.log.read_text()
        assert replicates(client)


def test_bad_input(servers: DevCluster, tmp_path: Path) -> None:
    mars = Place(tmp_path / "mars", servers, "mars")
    file = ("-c", str(mars.site.master_file))
    done = mars.program("cluster", "join", "nats://127.0.0.1:1", *file)
    assert (done.code, "cannot be used" in done.err) == (NOT_REACHABLE, True)
    done = mars.program("cluster", "join", *servers.urls, *file)
    assert (done.code, "refuses us" in done.err) == (NOT_ALLOWED, True)
    done = mars.join(user="narrow")
    assert done.code == NO
    assert "FAIL  our user  permissions: it may not publish to sylvite.log.mars" in done.out
    assert "mars has not joined; nothing was changed" in done.err
    done = mars.join("--node", "a b")
    assert (done.code, "must be 1 to 128 letters" in done.err) == (CONFIGURATION, True)
    done = mars.program("cluster", "join", "http://a", *file)
    assert (done.code, "is no address" in done.err) == (CONFIGURATION, True)
    done = mars.program("cluster", "join", *servers.urls, "-c", str(tmp_path / "nothing"))
    assert done.code == CONFIGURATION
    assert not mars.file.exists()

    mars.file.parent.mkdir()
    mars.file.write_text("log_level: info\n")
    done = mars.join()
    assert (done.code, "has not written it; move it away" in done.err) == (CONFIGURATION, True)
    assert mars.file.read_text() == "log_level: info\n"
    mars.file.write_text("cluster: nats://127.0.0.1:1\n")
    done = mars.leave()
    assert (done.code, "was not written by" in done.err) == (CONFIGURATION, True)
    mars.file.unlink()
    with mars.site.master_file.open("a") as opened:
        opened.write("default_include: other.d/*.conf\n")
    done = mars.join()
    assert (done.code, "default_include of its main file leaves it out" in done.err) == (CONFIGURATION, True)
    assert not mars.file.exists()
    with mars.site.master_file.open("a") as opened:
        opened.write("cluster: nats://127.0.0.1:1\n")
    done = mars.join()
    assert (done.code, "names a cluster already" in done.err) == (CONFIGURATION, True)


def test_servers_that_are_too_old_or_have_another_time_or_a_foreign_stream(
    servers: DevCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    mars = Place(tmp_path / "mars", servers, "mars")

    def refusal() -> str:
        assert main(mars.words()) == NO
        assert not mars.file.exists()
        return capfd.readouterr().out

    with monkeypatch.context() as patched:
        patched.setattr(connection, "FLOORS", ((99, 0, 0),))
        assert "version: nats-server" in refusal()
    with monkeypatch.context() as patched:
        patched.setattr(clock, "now_s", lambda: time.time() - 60.0)
        assert "FAIL  n1  clock" in refusal()

    async def make_stream() -> None:
        wanted = ClusterSettings(servers=tuple(servers.urls), credentials=str(servers.credentials("master")))
        async with await Connection.open(wanted) as there:
            config = StreamConfig(name="sylvite_log", subjects=["orders.>"])
            await there.jetstream.add_stream(config)  # type: ignore[reportUnknownMemberType]

    asyncio.run(make_stream())
    assert "FAIL  sylvite_log  stream: subjects" in refusal()
