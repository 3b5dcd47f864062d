"""Jobs, returns, grains and presence over two masters: real ones, with their bridges, three NATS servers, and three minions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator

import msgspec
import pytest

from sylvite import Client, LocalClient
from sylvite.cluster.dev import DevCluster
from sylvite.jobs.store import read_jobs
from tests.cluster.servers import make_whole
from tests.cluster.sites import WITHIN_S, ClusterMaster, ClusterSite

MINIONS = {"web1": ("mars", "venus"), "web2": ("venus", "mars"), "db1": ("venus",)}


@pytest.fixture(scope="module")
def site(nats_servers: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[ClusterSite]:
    make_whole(nats_servers)
    with ClusterSite(tmp_path_factory.mktemp("site"), nats_servers, MINIONS, timeout="5") as site:
        yield site
    make_whole(nats_servers)


def cli(master: ClusterMaster, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sylvite", *words], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def returned(master: ClusterMaster, jid: str) -> list[str]:
    with read_jobs(master.data / "jobs.db") as reader:
        return sorted(reader.returned(jid))


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
