"""Jobs, returns, grains and presence over two masters: real ones, with their bridges, three NATS servers, and three minions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator

import msgspec
import pytest

from sylvite import Client, LocalClient
from sylvite.cluster.dev import DevCluster
from tests.cluster.sites import WITHIN_S, ClusterMaster, ClusterSite, events, returned
from tests.daemons.nodes import part_of

OPTIONS = {"timeout": "5", "gather_job_timeout": "3", "presence_events": "true", "loop_interval": "2"}
JOBS = 30
MINIONS = {"web1": ("mars", "venus"), "web2": ("venus", "mars"), "db1": ("venus",)}


@pytest.fixture(scope="module")
def site(nats_servers: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[ClusterSite]:
    with ClusterSite(tmp_path_factory.mktemp("site"), nats_servers, MINIONS, **OPTIONS) as site:
        yield site


def cli(master: ClusterMaster, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sylvite", *words], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everybody_is_known_to_both_masters(site: ClusterSite) -> None:
    assert site["mars"].present() == {"web1": "", "web2": "venus", "db1": "venus"}
    assert site["venus"].present() == {"web1": "mars", "web2": "", "db1": ""}
    shown = msgspec.json.decode(cli(site["mars"], "presence", "--dir", str(site["mars"].data), "--json"))
    assert [(each["id"], each.get("master")) for each in shown] == [("db1", "venus"), ("web1", None), ("web2", "venus")]


@pytest.mark.parametrize("name", ["mars", "venus"])
def test_a_job_reaches_the_minions_of_both_once_and_both_keep_it(site: ClusterSite, name: str) -> None:
    other = site["venus" if name == "mars" else "mars"]
    with LocalClient.connect(site[name].place) as local:
        found = local.run_job("*", "test.ping")
        answers = {
            minion: value
            for each in local.get_iter_returns(found["jid"], found["minions"])
            for minion, value in each.items()
        }
    assert {minion: value["ret"] for minion, value in answers.items()} == dict.fromkeys(MINIONS, True)
    site.until(lambda: returned(other, found["jid"]) == sorted(MINIONS))
    for minion in MINIONS:
        with Client.connect(site.bus_of(minion)) as bus:
            jobs = bus.subscribe(exact="__schedule_return", since="oldest", until_end=True)
            assert [event.data["jid"] for event in jobs].count(found["jid"]) == 1


def told(site: ClusterSite) -> Counter[tuple[str, str]]:
    """Return how often each minion was told new, and lost, on either bus: all of it is on both, before long."""

    def changes() -> list[list[dict[str, list[str]]]]:
        return [[each.data for each in events(master, "salt/presence/change")] for master in site.masters.values()]

    site.until(lambda: (both := changes())[0] == both[1])
    return Counter((what, minion) for each in changes()[0] for what in ("new", "lost") for minion in each[what])


def test_presence_is_told_once_for_all(site: ClusterSite) -> None:
    for master in site.masters.values():
        with Client.connect(master.bus) as bus:
            here = f"data.present == {sorted(MINIONS)}"
            bus.wait("salt/presence/present", where=here, since="oldest", timeout_s=WITHIN_S)
    assert told(site) == Counter(("new", minion) for minion in MINIONS)


def test_a_batch_goes_to_the_minions_of_both(site: ClusterSite) -> None:
    said = cli(
        site["mars"], "jobs", "run", "-c", str(site["mars"].master_file), "*", "test.ping", "--batch", "1", "--json"
    )
    found = [msgspec.json.decode(line) for line in said.splitlines()]
    assert sorted(minion for each in found for minion in each) == sorted(MINIONS)
    assert all(value is True for each in found for value in each.values())


def test_a_job_that_runs_with_another_master_is_seen_and_ended(site: ClusterSite) -> None:
    config = ("-c", str(site["mars"].master_file))
    with LocalClient.connect(site["mars"].place) as local:
        jid = local.run_job("db1", "test.sleep", [600])["jid"]
    active = ("jobs", "active", *config, "--json")
    site.until(lambda: msgspec.json.decode(cli(site["mars"], *active)).get(jid, {}).get("Running", []) != [])
    cli(site["mars"], "jobs", "kill", *config, jid)
    for master in site.masters.values():
        site.until(lambda master=master: returned(master, jid) == ["db1"])


def test_a_minion_moves_while_jobs_are_published_and_no_return_is_lost_or_repeated(site: ClusterSite) -> None:
    """Its master's link is killed under it; on the other one nobody sees more than where it is."""
    link = part_of(site.daemons["mars"], "link")
    jids: list[str] = []
    with LocalClient.connect(site["venus"].place) as local:
        for number in range(JOBS):
            if number == JOBS // 3:
                os.kill(link, signal.SIGKILL)
            jids.append(local.run_job("web1", "test.sleep", [0.3])["jid"])
    site.until(lambda: site["mars"].present().get("web1") == "venus", "web1 has not moved")
    site.until_returned_once("web1", jids)
    assert told(site) == Counter(("new", minion) for minion in MINIONS)
