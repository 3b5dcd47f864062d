"""`sylvite master` runs the bridge where its option `cluster` names servers, and starts it again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
from pathlib import Path

import msgspec
import pytest

from sylvite.cli.main import main
from sylvite.client.sync_client import Client
from sylvite.cluster.dev import DevCluster
from sylvite.core.level import Level
from tests.cluster.servers import settings
from tests.daemons.nodes import WITHIN_S, Daemon, Site, children_of, until


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


def test_replicated_may_be_asked_for_on_the_command_line_and_over_http(
    nats: DevCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path)
    cluster = msgspec.json.encode(settings(nats)).decode()
    site.write(
        site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port), id="mars", job_cache="false",
        salt_sockets="false", cluster=cluster,
    )  # fmt: skip
    place = ("--socket", str(site.bus), "--dir", str(site.data))
    with site.master(), Daemon(tmp_path, "api", *place, "--listen", "127.0.0.1:0") as api:
        asked = ["publish", "a", "n=1", "--ack", "replicated", "--wait", "60s"]
        assert main(["--socket", str(site.bus), "--json", *asked]) == 0
        assert json.loads(capsys.readouterr().out)["level"] == "replicated"
        assert main(["-q", "tokens", "create", "ann", "-s", "events:write:**", "--dir", str(site.data)]) == 0
        connection = http.client.HTTPConnection("127.0.0.1", int(api.said), timeout=WITHIN_S)
        with contextlib.closing(connection):
            token = capsys.readouterr().out.strip()
            connection.request(
                "POST", "/v1/events?ack=replicated", '{"tag": "b"}', {"Authorization": f"Bearer {token}"}
            )
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["level"]) == (201, "replicated")
