"""Whether masters have the same key: told on the bus, and in the status."""

from __future__ import annotations

from pathlib import Path

from sylvite import Client
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.cluster.dev import DevCluster
from sylvite.cluster.master_key import say_difference
from tests.cluster.masters import Master

WITHIN_S = 60.0


def make_key(folder: Path) -> str:
    with KeyFolder(folder / "keys", make=True) as keys:
        return load_or_make_pair(keys, "master")[0].fingerprint


def test_masters_whose_keys_differ_say_so(nats: DevCluster, tmp_path: Path) -> None:
    fingers: dict[str, str] = {}
    for name in ("mars", "venus"):
        (tmp_path / name).mkdir(mode=0o700)
        fingers[name] = make_key(tmp_path / name)
    with (
        Master(tmp_path / "mars", nats, "mars") as mars,
        Master(tmp_path / "venus", nats, "venus"),
        Client.connect(mars.socket) as bus,
    ):
        found = bus.wait(
            "sylvite/cluster/keys_differ", since="oldest", timeout_s=WITHIN_S, where="data.node == 'venus'"
        )
        assert (found.data["key"], found.data["ours"]) == (fingers["venus"], fingers["mars"])
        found = bus.wait("sylvite/cluster/keys_differ", since="oldest", timeout_s=WITHIN_S, where="data.node == 'mars'")
        assert found.data["key"] == fingers["mars"], "the other one says it, too"


def test_what_differs_is_said_with_what_to_do() -> None:
    assert say_difference({}) == say_difference({"mars": "aa", "venus": "aa"}) == ""
    assert "mars has aa, venus has bb" in say_difference({"venus": "bb", "mars": "aa"})
    assert "copy master.key" in say_difference({"venus": "bb", "mars": "aa"})
