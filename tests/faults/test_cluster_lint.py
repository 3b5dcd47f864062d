"""F-04: the settings of the NATS servers that we start, against those that keep our promises; and that a wrong one is found."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.api import AccountLimits, DiscardPolicy, RetentionPolicy, StorageType

from sylvite.cluster.connection import Connection
from sylvite.cluster.dev import SYSTEM, DevCluster, find_program
from sylvite.cluster.examining import examine, read_server_file
from sylvite.cluster.lint import RULES, Finding, lint_account, lint_room, lint_servers
from sylvite.cluster.stream import stream_config
from tests.cluster.conftest import nats, nats_servers
from tests.cluster.servers import settings
from tests.faults.report import control, report

__all__ = ["nats", "nats_servers"]


def _count(findings: list[Finding], without: str | None = None) -> None:
    counters = dict.fromkeys(RULES, 0)
    for finding in findings:
        counters[finding.rule] = counters.get(finding.rule, 0) + 1
    report("F-04", seed=0, runs=len(RULES), counters=counters, without=without)


def test_nothing_is_to_be_said_of_the_servers_that_we_start(nats: DevCluster) -> None:
    """By none of the three ways of looking at them, and nothing is left unseen."""
    configs = [nats.config(server.name) for server in nats.servers]
    examined = asyncio.run(examine(settings(nats), nats.credentials(SYSTEM), configs))
    assert examined.unseen == {}
    assert [facts.sources for facts in examined.servers] == [("client", "system", str(path)) for path in configs]
    _count(list(examined.findings))


def _replaced(before: str, after: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert before in text
        return text.replace(before, after, 1)

    return change


def _added(text: str) -> Callable[[str], str]:
    return lambda before: f"{before}\n{text}\n"


def _routes_for_all(text: str) -> str:
    above, mark, cluster = text.partition("cluster {")
    return above + mark + _replaced('listen: "127.0.0.1:', 'listen: "0.0.0.0:')(cluster)


WRONG: dict[str, tuple[str, Callable[[str], str]]] = {
    "sync_interval": ("sync", _replaced("  sync_interval: always\n", "")),
    "sync_interval: always": ("sync", _replaced("sync_interval: always", "sync_interval: 1s")),
    "store_dir": ("store", _replaced("  store_dir:", "  #")),
    "users": ("auth", lambda text: text[: text.index("accounts {")] + text[text.index("cluster {") :]),
    "no no_auth_user": ("auth", lambda text: _replaced("{ nkey:", "{ user: a, password: b }, { nkey:")(text) + "no_auth_user: a\n"),
    "a listener on the loopback": ("tls", _replaced('listen: "127.0.0.1:', 'listen: "0.0.0.0:')),
    "authorization of routes": ("routes", lambda text: "".join(line for line in text.splitlines(keepends=True) if "  authorization" not in line)),
    "routes on the loopback": ("routes", _routes_for_all),
    "no monitoring": ("monitoring", _added("http: 18222")),
    "no monitoring over TLS": ("monitoring", _added("https_port = 18223")),
    "no websocket": ("listeners", _added("websocket { port: 18224, no_tls: true }")),
    "no MQTT": ("listeners", _added("mqtt { port: 18225 }")),
    "no leafnodes": ("listeners", _added('leafnodes { listen: "127.0.0.1:18226" }')),
    "no gateway": ("listeners", _added('gateway { name: "sylvite-dev", port: 18227 }')),
    "no profiling": ("listeners", _added("prof_port: 18228")),
    "max_payload": ("payload", _replaced("max_payload: 8MB", "max_payload: 64KB")),
}  # fmt: skip
"""What is taken out of a right file, the rule that has to say so, and how it is taken out."""


@pytest.mark.parametrize("without", WRONG)
def test_a_server_file_that_is_wrong_is_found(nats: DevCluster, tmp_path: Path, without: str) -> None:
    """Each is one that a server would start with."""
    rule, change = WRONG[without]
    path = tmp_path / "server.conf"
    path.write_text(change(nats.config("n1").read_text()))
    path.chmod(0o600)
    said = subprocess.run(
        (find_program(), "-t", "-c", str(path)), capture_output=True, text=True, check=False, timeout=30
    )
    assert said.returncode == 0, said.stderr
    findings = lint_servers([read_server_file(path)])
    assert {finding.rule for finding in findings} == {rule}
    assert all(finding.cure for finding in findings)
    with control("F-04", without=without):
        _count(findings)


def test_a_store_that_is_too_small_is_found(nats: DevCluster) -> None:
    facts = read_server_file(nats.config("n1"))
    assert lint_room(settings(nats), [facts]) == []
    findings = lint_room(settings(nats, keep_bytes=1024**4), [facts])
    with control("F-04", without="room for keep_bytes", match='"store": 1'):
        _count(findings)


def test_a_file_that_others_can_read_is_found(nats: DevCluster, tmp_path: Path) -> None:
    path = tmp_path / "server.conf"
    shutil.copy(nats.config("n1"), path)
    path.chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents[:1]):
        folder.chmod(0o755)
    findings = lint_servers([read_server_file(path)])
    with control("F-04", without="file modes", match='"files": 1'):
        _count(findings)


OLD = ("2.10.29", "2.11.15", "2.12.6", "2.13.0-dev", "0.0.0")


@pytest.mark.parametrize("version", OLD)
def test_a_version_with_known_holes_is_found(nats: DevCluster, version: str) -> None:
    facts = msgspec.structs.replace(read_server_file(nats.config("n1")), version=version)
    with control("F-04", without="the floor of versions", match='"version": 1'):
        _count(lint_servers([facts]))


@pytest.mark.parametrize("version", ["2.12.7", "2.12.11", "2.14.0", "2.15.1", "3.0.0"])
def test_a_version_without_them_is_taken(nats: DevCluster, version: str) -> None:
    assert lint_servers([msgspec.structs.replace(read_server_file(nats.config("n1")), version=version)]) == []


@pytest.mark.parametrize("apart_s", [-11.0, 12.5])
def test_a_clock_that_is_wrong_is_found(nats: DevCluster, apart_s: float) -> None:
    facts = msgspec.structs.replace(read_server_file(nats.config("n1")), clock_apart_s=apart_s)
    with control("F-04", without="a clock", match='"clock": 1'):
        _count(lint_servers([facts]))


def test_servers_that_run_with_wrong_settings_are_found(tmp_path: Path) -> None:
    """What the system account is told is enough; a server that is away is named."""
    servers = DevCluster(tmp_path / "nats")
    servers.prepare()
    with servers:
        servers.stop()
        for server in servers.servers:
            path = servers.config(server.name)
            path.write_text(_replaced("sync_interval: always", "sync_interval: 2m")(path.read_text()))
            path.write_text(_replaced("max_payload: 8MB", "max_payload: 1MB")(path.read_text()))
            servers.start_one(server.name)
        asyncio.run(servers.wait_until_led())
        servers.kill("n3")
        examined = asyncio.run(examine(settings(servers), servers.credentials(SYSTEM), ()))
    found = {(finding.rule, finding.where) for finding in examined.findings if finding.state == "FAIL"}
    assert found >= {("sync", "n1"), ("sync", "n2"), ("payload", "n1"), ("payload", "n2")}
    assert {("reach", servers.servers[2].url), ("replicas", "")} <= found
    with control("F-04", without="sync_interval of servers that run", match='"sync": 2'):
        _count(list(examined.findings))


STREAMS: dict[str, dict[str, Any]] = {
    "subjects of its own": {"subjects": ["other.>"]},
    "a stream on disk": {"storage": StorageType.MEMORY, "max_bytes": 1024 * 1024},
    "three replicas": {"num_replicas": 1},
    "the oldest goes first": {"discard": DiscardPolicy.NEW},
    "it keeps what is read": {"retention": RetentionPolicy.INTEREST},
}


@pytest.mark.parametrize("without", STREAMS)
def test_a_foreign_stream_of_our_name_is_found(nats: DevCluster, without: str) -> None:
    """It is looked at with the credentials of a master, and nothing is changed."""
    findings = asyncio.run(_with_stream(nats, STREAMS[without]))
    assert [(finding.rule, finding.where) for finding in findings if finding.state == "FAIL"] == [
        ("stream", "sylvite_log")
    ]
    with control("F-04", without=without, match='"stream": 1'):
        _count([finding for finding in findings if finding.state == "FAIL"])


def test_a_stream_that_keeps_less_is_a_warning(nats: DevCluster) -> None:
    findings = asyncio.run(_with_stream(nats, {"max_age": 60.0, "duplicate_window": 60.0, "max_bytes": 1024 * 1024}))
    assert [(finding.rule, finding.state) for finding in findings] == [("stream", "warn"), ("stream", "warn")]
    assert asyncio.run(_with_stream(nats, {})) == []


async def _with_stream(servers: DevCluster, changes: dict[str, Any]) -> list[Finding]:
    wanted = settings(servers)
    async with await Connection.open(wanted) as connection:
        config = dataclasses.replace(stream_config(wanted), **changes)
        await connection.jetstream.add_stream(config)  # type: ignore[reportUnknownMemberType] - nats-py's types are partial
        examined = await examine(wanted, None, ())
        await connection.jetstream.delete_stream("sylvite_log")
    return list(examined.findings)


def test_an_account_that_has_too_little_is_found(nats: DevCluster) -> None:
    """Its limits are those that a server tells."""

    async def limits() -> AccountLimits:
        async with await Connection.open(settings(nats)) as connection:
            return (await connection.jetstream.account_info()).limits

    found = asyncio.run(limits())
    assert lint_account(settings(nats), found) == []
    for change in ({"max_streams": 1}, {"max_storage": 1024**3}, {"storage_max_stream_bytes": 1024}):
        findings = lint_account(settings(nats), dataclasses.replace(found, **change))
        with control("F-04", without=f"an account with {next(iter(change))}", match='"account": 1'):
            _count(findings)
