"""`sylvite master` runs the bridge where its option `cluster` names servers, and starts it again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec

from sylvite.client.sync_client import Client
from sylvite.cluster.dev import DevCluster
from sylvite.core.level import Level
from tests.cluster.servers import settings
from tests.daemons.nodes import Site, children_of, until


def test_a_master_answers_at_level_replicated_also_after_its_bridge_was_killed(
    nats: DevCluster, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    cluster = msgspec.json.encode(settings(nats)).decode()
    site.write(
        site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port), id="mars", job_cache="false",
        salt_sockets="false", cluster=cluster,
    )  # fmt: skip
    with site.master() as master, Client.connect(site.bus) as client:
        assert client.publish("a", {}, level="replicated", timeout_s=60.0).level is Level.REPLICATED
        first = children_of(master.pid)["cluster"]
        os.kill(first, signal.SIGKILL)
        until(lambda: children_of(master.pid).get("cluster", first) != first, "the bridge is not started again")
        assert client.publish("b", {}, level="replicated", timeout_s=60.0).level is Level.REPLICATED
