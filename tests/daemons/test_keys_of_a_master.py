"""`sylvite keys` beside a running master: it finds its keys and its bus through the master's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.daemons.network import Network


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(tmp_path)


def test_by_fingerprint(network: Network) -> None:
    """Look at it on both machines, then accept: neither folder nor socket need be named."""
    with network.master.run("master"):
        web = network.pinned("web", "web1")
        assert "has no key yet: the first start of the minion makes it" in web("keys", "finger", "--minion", code=78)
        with web.run("minion"):
            network.sees("salt/auth", "data.act == 'pend'")
            own = web("keys", "finger", "--minion").strip()
            assert own in network.master("keys", "finger", "web1")
            assert network.master("keys", "accept", "web1", "-y") == "web1  accepted\n"
            network.sees("salt/minion/web1/start")
            assert network.states() == [("web1", "accepted")]


def test_two_minions_with_one_id(network: Network) -> None:
    """The second is denied, and shown; it gets the id once the first was deleted."""
    with network.master.run("master"), network.pinned("one", "web1").run("minion"):
        network.sees("salt/auth", "data.act == 'pend'")
        network.master("keys", "accept", "web1", "-y")
        other = network.pinned("two", "web1")
        with other.run("minion"):
            network.sees("salt/auth", "data.act == 'denied'")
            assert network.states() == [("web1", "denied"), ("web1", "accepted")]
            refused = network.master("keys", "accept", "web1", "--include-denied", "-y", code=1)
            assert "web1" in refused
            network.master("keys", "delete", "web1", "--state", "accepted", "-y")
            fingerprint = other("keys", "finger", "--minion").strip()
            network.master("keys", "accept", "web1", "--include-denied", "--fingerprint", fingerprint, "-y")
            pub = network.master.ask("keys", "show", "web1")["keys"]
            assert [key["fingerprint"] for key in pub if key["state"] == "accepted"] == [fingerprint]
            network.sees("salt/minion/web1/start")


def test_with_a_key_that_was_made_beforehand(network: Network) -> None:
    """The pair is made on the master, expected there, and put on the minion with the master's fingerprint."""
    with network.master.run("master"):
        web = network.pinned("web", "web7")
        pki = web.folder / "etc" / "sylvite" / "pki" / "minion"
        network.master("keys", "gen", "web7", "--to", str(network.folder / "seed"))
        fingerprint = network.master("keys", "finger", "--file", str(network.folder / "seed" / "web7.pub")).strip()
        assert "will be accepted" in network.master("keys", "accept", "web7", "--fingerprint", fingerprint)
        pki.mkdir(parents=True, mode=0o700)
        for kind in ("key", "pub"):
            (network.folder / "seed" / f"web7.{kind}").rename(pki / f"minion.{kind}")
        with web.run("minion"):
            network.sees("salt/minion/web7/start")
        with network.pinned("false", "web7").run("minion"):
            network.sees("salt/auth", "data.act == 'denied'")


def test_by_token(network: Network) -> None:
    """It names the master too: the minion needs no master_finger."""
    with network.master.run("master"):
        web = network.minion("web", "web8")
        token = web.folder / "token"
        token.write_text(network.master.ask("keys", "token", "web8")["token"])
        token.chmod(0o600)
        with web.run("minion", "--token", str(token)):
            network.sees("salt/minion/web8/start")
        assert network.master.ask("keys", "list")["tokens"] == []


def test_rejected_accepted_after_all_and_revoked(network: Network) -> None:
    with network.master.run("master"), network.pinned("web", "web1", rejected_retry=True).run("minion"):
        network.sees("salt/auth", "data.act == 'pend'")
        network.master("keys", "reject", "web*", "-y")
        network.sees("salt/auth", "data.act == 'reject'")
        network.master("keys", "accept", "web1", "--include-rejected", "-y")
        network.sees("salt/minion/web1/start")
        network.master("keys", "revoke", "web1", "-y")
        network.sees("salt/key", "data.act == 'revoked'")
        assert "never comes back" in network.master("keys", "accept", "web1", "-y", code=1)


def test_a_wrong_configuration_is_said(network: Network) -> None:
    network.master.configure("master", ret_port="many")
    assert f"{network.master.folder}/master:2: ret_port" in network.master("keys", "list", code=78)
    assert "--dir goes without --config" in network.master("keys", "list", "--dir", "x", "-c", "y", code=2)
