"""Python of the recordings of real Salt, and of our own page on its names, run as it is written there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sylvite.client.sync_client import Client
from sylvite.testing.broker import BrokerProcess
from tests.compat.places import (
    GOLDEN,
    finish,
    run_program,
    shim_environment,
    start_program,
    subscriptions,
    wait_until,
    write_master,
)
from tests.docs.blocks import PROJECT, blocks

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
Events = tuple[tuple[str, dict[str, Any]], ...]


AUTH: Events = (("other/tag", {"n": 0}), ("salt/auth", {"act": "accept", "id": "web1"}))


@pytest.fixture(scope="module", params=["ipc", "tcp"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A bus, and the environment of programs that find it as a master and a minion would say it."""
    mode = str(request.param)
    folder = tmp_path_factory.mktemp(mode)
    more = ("--tcp", "0") if mode == "tcp" else ()
    with BrokerProcess(folder / "bus", arguments=more) as broker:
        master = write_master(folder, broker.folder, ipc_mode=mode)
        minion = folder / "minion"
        minion.write_text(f"sock_dir: {broker.folder}\nipc_mode: {mode}\nid: alpha\n")
        yield Site(
            broker,
            {
                **shim_environment(), "SALT_MASTER_CONFIG": str(master), "SALT_MINION_CONFIG": str(minion),
                "SYLVITE_SOCKET": str(broker.folder / ("bus.tcp" if mode == "tcp" else "bus.sock")),
            },
            folder,
        )  # fmt: skip


class Site(NamedTuple):
    broker: BrokerProcess
    environment: dict[str, str]
    folder: Path


def play(
    site: Site, source: str, fired: Events, fire: Callable[[Client, str, dict[str, Any]], Any] | None = None
) -> str:
    """Start a program, fire once it listens, and return what it prints."""
    with Client.connect(site.broker.socket) as bus:
        before = subscriptions(bus)
        program = start_program(source, env=site.environment)
        try:
            wait_until(lambda: bool(subscriptions(bus) - before) or program.poll() is not None, "it listens")
            for tag, data in fired:
                (fire or Client.publish)(bus, tag, data)
        except BaseException:
            program.kill()
            raise
        finally:
            printed = finish(program)
    return STAMP.sub("STAMP", printed)


def test_our_own_page(site: Site) -> None:
    (block,) = (block for block in blocks(PROJECT / "docs" / "salt.md") if block.kind == "salt")
    assert play(site, block.text + "print(data['id'])\n", AUTH) == "web1\n"


TICKS: Events = (("golden/other", {}), ("golden/snippet/tick", {"n": 1}), ("golden/snippet/tick", {"n": 2}))
RECORDED: dict[str, Events] = {
    "py_fnmatch_loop": TICKS,
    "py_get_event_full": TICKS,
    "py_get_event_once_no_transport_kwarg": (("salt/presence/present", {"present": ["minion-0042"]}),),
    "py_get_event_wait_tag": TICKS,
    "py_iter_events": TICKS,
    "py_minion_iter_regex": (("other", {}), ("custom/x", {"a": 1})),
}


def recording(name: str) -> tuple[str, str]:
    """Return the program and what it printed."""
    _, _, rest = (GOLDEN / f"{name}.txt").read_text().partition("\n")
    source, _, rest = rest.partition("\n=== output\n")
    return source, STAMP.sub("STAMP", rest.partition("--- exit")[0])


@pytest.mark.parametrize("name", RECORDED)
def test_recordings_of_salt(site: Site, name: str) -> None:
    """What a program prints that listened to real Salt, it prints with us."""
    source, printed = recording(name)
    assert play(site, source.replace("@CONF@", "/etc/salt"), RECORDED[name]) == printed


def test_recording_with_transport_which_salt_refuses_today(site: Site) -> None:
    """The one difference that is meant: the argument of the documentation is taken."""
    source, _ = recording("py_get_event_once")
    fired = RECORDED["py_get_event_once_no_transport_kwarg"]
    assert (
        play(site, source.replace("@CONF@", "/etc/salt"), fired) == recording("py_get_event_once_no_transport_kwarg")[1]
    )


def test_recording_of_firing(site: Site) -> None:
    source, printed = recording("py_fire_from_python")
    with Client.connect(site.broker.socket) as bus, bus.subscribe("customtag/", "fire_master") as events:
        assert run_program(source.replace("@CONF@", "/etc/salt"), env=site.environment) == printed
        fired, up = next(events), next(events)
    assert fired.tag == "customtag/african/unladen"
    assert fired.data["data"] == "message to be sent in the event"
    assert up.tag == "fire_master"
    assert (
        up.data.items() >= {"tag": "golden/via/fire_master", "data": {"a": 1}, "events": None, "pretag": None}.items()
    )
