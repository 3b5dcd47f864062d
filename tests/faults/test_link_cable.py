"""A master and a minion, as an operator starts them, in two networks; the cable between them is cut, and mended."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from sylvite.core.known_tags import OUTBOX
from tests.daemons.nodes import Daemon, Site
from tests.daemons.test_master_and_minion import fingerprint_of, pre_accept, wait_for
from tests.faults.cable import ADDRESSES, cable
from tests.faults.link_site import COUNTERS, Arriving, judge, load, stored
from tests.faults.report import report

EACH = 50
WITHIN_S = 90.0


def _cut_the_cable(folder: Path, cuts_s: list[float]) -> None:
    site, sent, while_cut = Site(folder), 0, 0
    back_s: list[float] = []
    with ExitStack() as stack:
        between = stack.enter_context(cable())
        here, there = between.sides
        site.write(site.master_file, "m", interface=ADDRESSES[0], ret_port=str(site.port), id="master")
        stack.enter_context(Daemon(folder, "master", "--config", str(site.master_file), before=here))
        site.write(
            site.minion_file, "n", id=site.id, master=f"{ADDRESSES[0]}:{site.port}", acceptance_wait_time="1",
            master_finger=f'"{fingerprint_of(site)}"',
        )  # fmt: skip
        stack.enter_context(Daemon(folder, "minion", "--config", str(site.minion_file), before=there))
        outbox = stack.enter_context(Client.connect(site.minion_bus))
        pre_accept(site)
        wait_for(site, f"salt/minion/{site.id}/start")
        assert not _reached_from_here(site.port)
        arriving = Arriving(site.bus)
        stack.callback(arriving.give_up)
        arriving.start()

        def fire() -> None:
            nonlocal sent
            sent += outbox.publish_many((OUTBOX, load(number)) for number in range(sent, sent + EACH))

        fire()
        arriving.wait(sent)
        for cut_s in cuts_s:
            fire()
            between.cut()
            began = time.monotonic()
            assert not between.reaches(site.port), "the cable is not cut"
            time.sleep(0.2)  # What was through before it was cut has arrived by now.
            before = len(arriving.numbers)
            while time.monotonic() - began < cut_s:
                fire()
                time.sleep(cut_s / 10)
            while_cut += len(arriving.numbers) - before
            between.mend()
            back_s.append(arriving.wait(sent, WITHIN_S))
        assert between.reaches(site.port)
        numbers = stored(site.bus)
    counters: dict[str, float] = {
        **judge(numbers, sent),
        "arrived_while_cut": while_cut,
        "back_s": round(max(back_s), 1),
        "events": sent,
    }
    limits = dict.fromkeys((*COUNTERS, "arrived_while_cut"), 0.0) | {"back_s": WITHIN_S}
    report("C-02 cable", seed=0, runs=len(cuts_s), counters=counters, target=limits)


def _reached_from_here(port: int) -> bool:
    """Say whether the master can be connected to from the network of the test: then it is none of its own."""
    try:
        socket.create_connection((ADDRESSES[0], port), 0.5).close()
    except OSError:
        return False
    return True


def test_a_cable_that_is_cut_costs_nothing_but_time(tmp_path: Path) -> None:
    """Twice, for seconds; the minion goes on firing."""
    _cut_the_cable(tmp_path, [1.5, 3.0])


@pytest.mark.long
def test_a_cable_that_is_cut_for_a_minute_costs_nothing_but_time(tmp_path: Path) -> None:
    """So long that both ends give the connection up."""
    _cut_the_cable(tmp_path, [5.0, 75.0])
