"""Real Salt, unmodified, against our sockets: it listens and fires, and what one has fired is equal when the other reads it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sylvite.client.sync_client import Client
from sylvite.compat.event import MasterEvent
from sylvite.testing.broker import BrokerProcess
from tests.compat.places import SHIM, finish, start_program, subscriptions, wait_until
from tests.compat.real_salt import RELEASES, Release
from tests.compat.test_behaviours import TYPES, without_stamp
from tests.compat.test_sockets import served

VALUES = f"""
import datetime
VALUES = dict({TYPES!r}, set={{1}}, date=datetime.datetime(2026, 1, 2, 3, 4, 5), huge=2**70)
"""


class Site(NamedTuple):
    release: Release
    broker: BrokerProcess
    configuration: Path

    def python(self, source: str) -> subprocess.Popen[str]:
        """Start a program in the environment of real Salt; `opts` are those of its master."""
        head = f"import salt.config, salt.utils.event\nopts = salt.config.client_config({str(self.configuration / 'master')!r})\n"
        return start_program(head + source, python=self.release.python, env=self.release.environment())


@pytest.fixture(scope="module", params=RELEASES, ids=lambda release: release.name)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    release: Release = request.param
    release.ensure()
    # Not pytest's own folder: where sock_dir is longer than some, Salt takes another one.
    with tempfile.TemporaryDirectory(prefix="salt-") as name, BrokerProcess(Path(name) / "bus") as broker:
        folder = Path(name)
        (folder / "var" / "cache" / "salt" / "master" / "proc").mkdir(parents=True)
        (folder / "master").write_text(f"root_dir: {folder}\nsock_dir: {broker.folder}\n")
        with served(broker, "--sock-dir", str(broker.folder), "--framing", release.framing):
            yield Site(release, broker, folder)


@pytest.fixture
def bus(site: Site) -> Iterator[Client]:
    with Client.connect(site.broker.socket) as client:
        yield client


def test_what_it_fires_is_read_here(site: Site, bus: Client) -> None:
    with MasterEvent(str(site.broker.folder)) as ours:
        program = site.python(
            VALUES
            + "with salt.utils.event.get_event('master', sock_dir=opts['sock_dir'], opts=opts, listen=False) as event:\n"
            + "    print(event.fire_event(VALUES, 'real/types'))\n"
        )
        got = ours.get_event(full=True, wait=60)
        assert finish(program) == "True\n"
    namespace: dict[str, Any] = {}
    exec(VALUES, namespace)  # the same values, made here
    expected = {**namespace["VALUES"], "tuple": [1, 2], "set": [1], "huge": str(2**70)}
    assert repr(without_stamp(got)) == repr({"data": expected, "tag": "real/types"})


def test_what_is_fired_here_it_reads(site: Site, bus: Client) -> None:
    before = subscriptions(bus)
    program = site.python(
        "with salt.utils.event.get_event('master', sock_dir=opts['sock_dir'], opts=opts) as event:\n"
        "    got = event.get_event(wait=60, tag='ours/types', full=True)\n"
        "    got['data'].pop('_stamp')\n"
        "    print(repr(got))\n"
    )
    wait_until(lambda: bool(subscriptions(bus) - before) or program.poll() is not None, "it listens")
    namespace: dict[str, Any] = {}
    exec(VALUES, namespace)
    with MasterEvent(str(site.broker.folder), listen=False) as ours:
        assert ours.fire_event({"n": 1}, "ours/other")
        assert ours.fire_event(dict(namespace["VALUES"]), "ours/types")
    expected = {**namespace["VALUES"], "tuple": [1, 2], "set": [1], "huge": str(2**70)}
    assert finish(program) == f"{ {'data': expected, 'tag': 'ours/types'}!r}\n"


def test_it_reads_what_it_has_fired_itself(site: Site) -> None:
    """A thousand events, in order, by the same object: as its own bus would give them."""
    program = site.python(
        "with salt.utils.event.get_event('master', sock_dir=opts['sock_dir'], opts=opts) as event:\n"
        "    for number in range(1000):\n"
        "        assert event.fire_event({'n': number}, 'own/n')\n"
        "    print([event.get_event(tag='own/', wait=60)['n'] for _ in range(1000)] == list(range(1000)))\n"
    )
    assert finish(program) == "True\n"


def test_over_tcp(site: Site, bus: Client) -> None:
    """With ipc_mode: tcp: what it fires arrives here, and it reads that and what is fired here."""
    with (
        served(site.broker, "--tcp", "0", "0", "--framing", site.release.framing) as found,
        bus.subscribe("tcp/") as events,
    ):
        pub, pull = map(int, found.said.split())
        before = subscriptions(bus)
        program = site.python(
            f"opts.update(ipc_mode='tcp', tcp_master_pub_port={pub}, tcp_master_pull_port={pull})\n"
            "with salt.utils.event.get_event('master', sock_dir=opts['sock_dir'], opts=opts) as event:\n"
            "    print(event.fire_event({'n': 1}, 'tcp/theirs'))\n"
            "    print([event.get_event(tag='tcp/', wait=60, full=True)['tag'] for _ in range(2)])\n"
        )
        wait_until(lambda: bool(subscriptions(bus) - before) or program.poll() is not None, "it listens")
        assert next(events).data["n"] == 1
        bus.publish("tcp/ours", {})
        assert finish(program) == "True\n['tcp/theirs', 'tcp/ours']\n"


def test_its_state_event_runner(site: Site, bus: Client) -> None:
    """`salt-run state.event`: what it prints, and the events that it fires of itself."""
    before = subscriptions(bus)
    with bus.subscribe("salt/run/") as runs:
        program = subprocess.Popen(
            [site.release.program("salt-run"), "-c", str(site.configuration), "state.event", "myco/*", "count=2"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=site.release.environment(),
        )  # fmt: skip
        wait_until(lambda: len(subscriptions(bus) - before) > 1 or program.poll() is not None, "it listens")
        bus.publish("other/tag", {})
        bus.publish("myco/a", {"_stamp": "then", "n": 1, "text": "hé"})
        bus.publish("myco/b", {"_stamp": "then", "list": [1, None, True]})
        lines = finish(program).splitlines()
        assert lines[0] == 'myco/a\t{"_stamp": "then", "n": 1, "text": "hé"}'
        assert lines[1] == 'myco/b\t{"_stamp": "then", "list": [1, null, true]}'
        assert next(runs).data["fun"] == "runner.state.event"


def test_our_exceptions_are_its_own(site: Site) -> None:
    """Each that we have, it has too, with the same bases."""
    ours = _bases(SHIM / "salt" / "exceptions.py")
    program = site.python(
        "import json, salt.exceptions\n"
        f"names = {sorted(ours)!r}\n"
        "print(json.dumps({name: [base.__name__ for base in getattr(salt.exceptions, name).__mro__] for name in names}))\n"
    )
    assert json.loads(finish(program)) == ours


def _bases(file: Path) -> dict[str, list[str]]:
    namespace: dict[str, Any] = {}
    exec(file.read_text(), namespace)
    return {name: [base.__name__ for base in namespace[name].__mro__] for name in namespace["__all__"]}


@pytest.mark.parametrize("limit", [300, 1000, 2000])
def test_trimming_is_its_own(limit: int) -> None:
    newest = RELEASES[0]
    newest.ensure()
    values = {"large": "x" * 400, "middle": "y" * 300, "deep": {"large": "z" * 400}, "list": ["w" * 400], "small": 1}
    source = f"import salt.utils.event\nprint(salt.utils.event.SaltEvent.pack('t', {values!r}, {limit}).hex())\n"
    packed = finish(start_program(source, python=newest.python, env=newest.environment())).strip()
    assert MasterEvent.pack("t", values, limit).hex() == packed
