"""Salt's sockets of a master and a minion, as they start them by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from sylvite.compat.endpoints import UnixEndpoints, master_endpoints, minion_endpoints
from sylvite.compat.frames import Framing, encode_frame
from sylvite.compat.packing import pack_event
from tests.compat.nodes import MINION, Nodes
from tests.compat.places import subscriptions, wait_until
from tests.compat.test_sockets import connect, read_events
from tests.daemons.nodes import WITHIN_S, Daemon, Site, children_of, free_port


def goes_through(endpoints: UnixEndpoints, bus_path: Path) -> None:
    with Client.connect(bus_path) as bus:
        before = subscriptions(bus)
        with connect(endpoints.pub) as listening, connect(endpoints.pull) as firing:
            wait_until(lambda: bool(subscriptions(bus) - before), "the reader is subscribed")
            firing.sendall(encode_frame(pack_event("nodes/a", {"n": 1}), "length"))
            while "nodes/a" not in [tag for tag, _ in read_events(listening, 1)]:
                continue
            assert bus.wait("nodes/a", since="oldest", timeout_s=WITHIN_S).data["n"] == 1


def test_a_master_and_a_minion_serve_them(nodes: Nodes) -> None:
    goes_through(master_endpoints(nodes.site.bus.parent), nodes.site.bus)
    goes_through(minion_endpoints(nodes.site.minion_bus.parent, MINION), nodes.site.minion_bus)


def test_they_can_be_turned_off(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write(site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port), id="master", salt_sockets="False")
    with site.master() as master:
        assert "salt-sockets" not in children_of(master.pid)
        assert not list(site.bus.parent.glob("*.ipc"))


def test_a_master_is_there_without_them(tmp_path: Path) -> None:
    """Where their paths would be too long, and that of its own socket is not."""
    site = Site(tmp_path)
    folder = tmp_path / ("x" * (107 - len(str(tmp_path)) - len("//bus.sock")))
    site.write(
        site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port), id="master", sock_dir=str(folder)
    )  # fmt: skip
    with site.master() as master:
        assert "programs of Salt's cannot attach" in master.log.read_text()
        with Client.connect(folder / "bus.sock") as bus:
            bus.publish("myco/a", {})


@pytest.mark.parametrize("framing", ["stream", "length"])
@pytest.mark.parametrize("node", ["master", "minion"])
def test_on_tcp(tmp_path: Path, node: str, framing: Framing) -> None:
    """As the daemon serves them with ipc_mode: tcp, in the framing that its file says."""
    site, pub, pull = Site(tmp_path), free_port(), free_port()
    if node == "master":
        ports = {"tcp_master_pub_port": str(pub), "tcp_master_pull_port": str(pull), "ret_port": str(site.port)}
        file, bus_path = site.master_file, site.bus
        site.write(file, "m", interface="127.0.0.1", id="master", ipc_mode="tcp", salt_socket_framing=framing, **ports)
    else:
        ports = {"tcp_pub_port": str(pub), "tcp_pull_port": str(pull)}
        file, bus_path = site.minion_file, site.minion_bus
        site.configure_minion(ipc_mode="tcp", salt_socket_framing=framing, **ports)
    with Daemon(tmp_path, node, "--config", str(file)), Client.connect(bus_path.with_name("bus.tcp")) as bus:
        before = subscriptions(bus)
        with connect(pub) as listening, connect(pull) as firing:
            wait_until(lambda: bool(subscriptions(bus) - before), "the reader is subscribed")
            expected = encode_frame(pack_event("tcp/a", {"_stamp": "x", "n": 1}), framing)
            firing.sendall(encode_frame(pack_event("tcp/a", {"_stamp": "x", "n": 1}), "length"))
            raw = b""
            while len(raw) < len(expected) or not raw.endswith(expected):
                raw += listening.recv(65536)
