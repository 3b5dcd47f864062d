"""The option `cluster` of a master: what it takes, and what is said of what it does not take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sylvite.cluster.settings import ClusterSettings, address_of, join_servers
from sylvite.daemons.options.explaining import show
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.opts import make_opts
from sylvite.daemons.options.reading import Loaded, load_master
from sylvite.errors import InvalidSetting


def master(folder: Path, cluster: object, **more: object) -> Loaded[MasterOptions]:
    path = folder / "master"
    path.write_text(json.dumps({"id": "mars", "cluster": cluster, **more}))
    return load_master(path)


def test_a_string_of_addresses_is_enough(tmp_path: Path) -> None:
    for said in ("nats://127.0.0.1, nats://localhost:4223", {"servers": ["nats://127.0.0.1", "nats://localhost:4223"]}):
        found = master(tmp_path, said).raise_first().options.cluster
        assert found.servers == ("nats://127.0.0.1", "nats://localhost:4223")
        assert (found.node, found.name, found.replicas) == ("mars", "sylvite", 3)
        assert bool(found)
        assert join_servers(found.servers) == "nats://127.0.0.1,nats://localhost:4223"


def test_without_it_a_master_is_alone(tmp_path: Path) -> None:
    (tmp_path / "master").write_text("id: mars")
    loaded = load_master(tmp_path / "master").raise_first()
    assert not loaded.options.cluster
    assert make_opts(loaded)["cluster"] is None


def test_amounts_are_written_as_elsewhere(tmp_path: Path) -> None:
    said = {"servers": "tls://a,tls://b", "keep_s": "3d", "keep_bytes": "2GiB", "node": "m1", "tls": {"ca": "/ca.crt"}}
    found = master(tmp_path, said).raise_first().options.cluster
    assert (found.keep_s, found.keep_bytes, found.node) == (259_200.0, 2 * 1024**3, "m1")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (5, "must be a map of settings"),
        ([], "must be a map of settings"),
        ({}, "names nobody"),
        ("", "names nobody"),
        (" , ", "names nobody"),
        ("http://a", "is no address"),
        ("tls://a/path", "is no address"),
        ("tls://a:0", "is no address"),
        ("tls://a:70000", "is no address"),
        ("tls://[::1", "is no address"),
        ("a:4222", "is no address"),
        ("nats://10.0.0.1", "is on another machine: write tls://"),
        ("tls://mars:geheim@a", "belong into the file of `credentials`"),
        ({"servers": "tls://a", "repicas": 3}, "did you mean 'replicas'"),
        ({"servers": "tls://a", "replicas": 2}, "must be one of 1, 3, 5"),
        ({"servers": "tls://a", "replicas": "3"}, "Expected `int`"),
        ({"servers": "tls://a", "name": "a.b"}, "letters, digits, - or _"),
        ({"servers": "tls://a", "credentials": "mars.nk"}, "must be a whole path"),
        ({"servers": "tls://a", "tls": {"certificate": "/a"}}, "go together"),
        ({"servers": "tls://a", "tls": {"cert": "/a"}}, "unknown field `cert`"),
        ({"servers": "tls://a", "keep_s": 0}, "Expected `float` > 0"),
        ({"servers": "tls://a", "keep_bytes": "1KiB"}, "Expected `int` >="),
        ({"servers": ["tls://a"] * 33}, "more than 32 addresses"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, said: object, reason: str) -> None:
    with pytest.raises(InvalidSetting, match=r"master:1: cluster: ") as error:
        master(tmp_path, said).raise_first()
    assert reason in str(error.value)
    assert "geheim" not in str(error.value)


def test_servers_elsewhere_may_be_spoken_to_in_clear_if_that_is_said(tmp_path: Path) -> None:
    assert master(tmp_path, {"servers": "nats://10.0.0.1", "disable_tls": True}).raise_first()


def test_credentials_are_not_shown(tmp_path: Path) -> None:
    loaded = master(tmp_path, {"servers": "tls://a", "credentials": "/etc/sylvite/geheim", "tls": {"ca": "/c"}})
    shown: dict[str, Any] = {each.name: each.value for each in show(loaded) if each.name.startswith("cluster.")}
    assert shown["cluster.credentials"] == "***"
    assert shown["cluster.servers"] == ["tls://a"]


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_none(text: str) -> None:
    try:
        host, port = address_of(text)
    except ValueError:
        return
    assert host
    assert 1 <= port <= 65_535
    assert ClusterSettings(servers=(text,), disable_tls=True).servers == (text,)
