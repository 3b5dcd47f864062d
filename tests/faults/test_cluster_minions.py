"""Minions of several masters on bad days: a master is gone, the servers are away, a minion does not answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from sylvite import Client, LocalClient
from sylvite.cluster.dev import DevCluster
from sylvite.jobs.jid import JidMaker
from sylvite.jobs.store import read_jobs
from tests.cluster.conftest import nats, nats_servers
from tests.cluster.sites import WITHIN_S, ClusterMaster, ClusterSite, events, returned
from tests.daemons.nodes import Daemon, children_of

__all__ = ["nats", "nats_servers"]
OPTIONS = {"timeout": "4", "gather_job_timeout": "3", "presence_events": "true", "loop_interval": "2"}
JOBS = 40
MINIONS = {"web1": ("mars", "venus"), "web2": ("mars",), "db1": ("venus",)}


@pytest.fixture
def site(nats: DevCluster, tmp_path: Path) -> Generator[ClusterSite]:
    with ClusterSite(tmp_path, nats, MINIONS, **OPTIONS) as site:
        yield site


def publish(master: ClusterMaster, target: str, minions: list[str], *, age_s: float = 0.0) -> str:
    """Publish a job as LocalClient does, or as it has done some time ago; return its jid."""
    jid = JidMaker().make(time.time_ns())
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(time.time() - age_s))
    job: dict[str, Any] = {
        "jid": jid, "fun": "test.ping", "arg": [], "tgt": target, "tgt_type": "glob", "user": "root", "_stamp": stamp,
    }  # fmt: skip
    with Client.connect(master.bus) as bus:
        bus.publish(f"salt/job/{jid}/new", {**job, "minions": minions, "missing": []})
        bus.publish(f"salt/job/{jid}/publish", {**job, "ret": ""})
    return jid


def kill(master: Daemon) -> None:
    """Kill a master with all its parts."""
    for pid in (*children_of(master.pid).values(), master.pid):
        os.kill(pid, signal.SIGKILL)
    master.wait()


@pytest.mark.long
def test_a_master_is_killed_under_its_minion_and_no_return_is_lost_or_repeated(site: ClusterSite) -> None:
    """What it had taken and not brought into the stream is there when it is back; what it had not, the minion says to the other."""
    jids: list[str] = []
    with LocalClient.connect(site["venus"].place) as local:
        for number in range(JOBS):
            if number == JOBS // 2:
                kill(site.daemons["mars"])
            jids.append(local.run_job("web1", "test.sleep", [0.2])["jid"])
    site.until(lambda: site["venus"].present().get("web1") == "", "web1 has not moved")
    site.start("mars")
    site.until_returned_once("web1", jids)


@pytest.mark.long
def test_a_master_is_gone_and_so_are_the_minions_that_know_no_other(site: ClusterSite) -> None:
    """All of it is killed.  One of its minions goes over; the other one is lost, once the master counts as silent."""
    venus = site["venus"]
    kill(site.daemons["mars"])
    site.until(lambda: venus.present() == {"db1": "", "web1": ""})
    with Client.connect(venus.bus) as bus:
        lost = "'web2' in data.lost"
        bus.wait("salt/presence/change", where=lost, since="oldest", timeout_s=WITHIN_S)
        bus.wait("salt/presence/present", where="data.present == ['db1', 'web1']", since="oldest", timeout_s=WITHIN_S)
    changes = events(venus, "salt/presence/change")
    assert sorted(minion for each in changes for minion in each.data["new"]) == sorted(MINIONS)
    assert [minion for each in changes for minion in each.data["lost"]] == ["web2"]
    with LocalClient.connect(venus.place) as local:
        assert local.cmd("*", "test.ping") == {"db1": True, "web1": True, "web2": False}
    site.end_minion("web2")
    said = ("sylvite/cluster/joined", "salt/presence/present")
    with Client.connect(venus.bus) as bus, bus.subscribe(exact=said) as told:
        site.start("mars")
        assert any(event.tag == said[0] for event in told)
        for _ in range(2):
            assert any(event.tag == said[1] for event in told)
    assert events(venus, "salt/presence/change") == changes, "mars had web2 when it was killed: that is no news"


@pytest.mark.long
def test_a_job_of_while_the_servers_were_away_goes_down_if_somebody_may_wait_for_it(
    site: ClusterSite, nats: DevCluster
) -> None:
    for server in nats.servers:
        nats.kill(server.name)
    old = publish(site["mars"], "*", ["db1", "web2"], age_s=60.0)
    young = publish(site["mars"], "*", ["db1", "web2"], age_s=-60.0)  # However long the servers take to be back.
    site.until(lambda: returned(site["mars"], young) == ["web2"])
    nats.restart_all()
    site.until(lambda: returned(site["mars"], young) == ["db1", "web2"])
    assert returned(site["mars"], old) == ["web2"]
    assert returned(site["venus"], old) == ["web2"]
    assert f"salt/job/{old}/publish of mars came too late" in site.daemons["venus"].log.read_text()


@pytest.mark.long
def test_one_master_asks_what_has_become_of_a_job_and_both_hear_it(site: ClusterSite) -> None:
    """Of a job of which one minion says that it does not run it: it ends on both, and only mars has asked."""
    jid = publish(site["venus"], "web1", ["web1", "db1"])
    for master in site.masters.values():
        site.until(lambda master=master: returned(master, jid) == ["web1"])
        with read_jobs(master.data / "jobs.db") as reader:
            site.until(lambda reader=reader: not reader.find(jid).is_active, "it has not ended")
    asked = [event for event in events(site["mars"], "salt/job/*/new") if event.data["fun"] == "saltutil.running"]
    assert asked
    assert not [event.sender for event in asked if "@" in event.sender]
