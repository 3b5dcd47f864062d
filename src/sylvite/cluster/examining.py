"""Examining an installation of NATS: collects the facts for lint.py from each server, its system account and its file."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from nats.js.errors import NotFoundError

from sylvite.cluster import clock
from sylvite.cluster.asking import JetStreamAnswer, ServerNamed, ask_all, find_leader
from sylvite.cluster.conf import read_conf
from sylvite.cluster.connection import USER_INFO, Connection
from sylvite.cluster.facts import ServerFacts, from_config, from_info, from_varz, key_files
from sylvite.cluster.lint import Finding, lint_account, lint_group, lint_room, lint_servers, lint_stream, unseen
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.stream import stream_name
from sylvite.errors import ClusterError, InvalidSetting

REACH_S = 5.0
VARZ, JSZ = "$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.SERVER.PING.JSZ"


class Examined(msgspec.Struct, frozen=True):
    """`unseen`: of each server, the rules for which nothing showed what they look at."""

    servers: tuple[ServerFacts, ...]
    findings: tuple[Finding, ...]
    unseen: dict[str, list[str]]


class _User(msgspec.Struct, frozen=True):
    server: ServerNamed


class _Varz(msgspec.Struct, frozen=True):
    server: ServerNamed
    data: dict[str, Any]


async def examine(settings: ClusterSettings, system: Path | None, configs: Sequence[Path]) -> Examined:
    """Look at the servers of a cluster, and return what is wrong with them.

    `system`: credentials of a user of the system account.  `configs`: files of servers, on this machine.

    Raises:
        InvalidSetting: a file cannot be read.
        ClusterError: not one server can be reached.
    """
    findings: list[Finding] = []
    servers: dict[str, ServerFacts] = {}

    def add(facts: ServerFacts) -> None:
        before = servers.get(facts.name)
        servers[facts.name] = facts if before is None else before.joined(facts)

    failures: list[ClusterError] = []
    for url, seen in zip(settings.servers, await reach_each(settings), strict=True):
        if isinstance(seen, ClusterError):
            failures.append(seen)
            findings.append(Finding("reach", "FAIL", url, str(seen), "start it, or take it out of the option cluster"))
        else:
            add(seen)
    if failures and not servers and not configs:
        raise failures[0]
    leader = None
    if system is not None and servers:
        told, leader = await ask_system(settings, system)
        for facts in told:
            add(facts)
    for path in configs:
        add(read_server_file(path))
    seen_all = tuple(servers.values())
    findings += lint_servers(seen_all)
    if settings and servers:
        findings += await _look_inside(settings)
    if settings:
        findings += lint_room(settings, seen_all)
        with_jetstream = sum(facts.jetstream is True for facts in seen_all)
        findings += lint_group(len(seen_all), with_jetstream, settings.replicas, leader)
    return Examined(seen_all, tuple(findings), {facts.name: rules for facts in seen_all if (rules := unseen(facts))})


async def _look_inside(settings: ClusterSettings) -> list[Finding]:
    """Return what is wrong with the account, and with the stream that is there."""
    async with await Connection.open(settings, name="sylvite cluster check", unfit_too=True) as there:
        name = stream_name(settings)
        try:
            with there.asking("looking at the account"):
                limits = (await there.jetstream.account_info()).limits
            with there.asking(f"looking at the stream {name}"), suppress(NotFoundError):
                config = (await there.jetstream.stream_info(name)).config
                return [*lint_account(settings, limits), *lint_stream(settings, config)]
        except ClusterError as error:
            return [Finding("account", "FAIL", "the account", str(error), "give it JetStream, and us its permissions")]
    return lint_account(settings, limits)


async def reach_each(settings: ClusterSettings) -> list[ServerFacts | ClusterError]:
    """Return what each server tells a client, or why it does not."""
    return await asyncio.gather(*(_reach(settings, server) for server in settings.servers))


async def _reach(settings: ClusterSettings, server: str) -> ServerFacts | ClusterError:
    alone = msgspec.structs.replace(settings, servers=(server,))
    try:
        async with await Connection.open(
            alone, name="sylvite cluster check", timeout_s=REACH_S, unfit_too=True
        ) as there:
            before = clock.now_s()
            users = await ask_all(there, USER_INFO, _User, expected=1)
            apart_s = clock.apart_s(users[0].server.time, before, clock.now_s()) if users else None
            return from_info(there.info, clock_apart_s=apart_s)
    except ClusterError as error:
        return error


async def ask_system(settings: ClusterSettings, system: Path) -> tuple[list[ServerFacts], str]:
    """Return what each server tells of itself, and who leads; empty: nobody does."""
    as_system = msgspec.structs.replace(settings, credentials=str(system.absolute()))
    async with await Connection.open(as_system, name="sylvite cluster check", unfit_too=True) as there:
        before = clock.now_s()
        answers = await ask_all(there, VARZ, _Varz)
        if not answers:
            raise InvalidSetting(
                "system", str(system), "is no user of the system account: the servers answer it nothing"
            )
        # They answered one after the other; how late each was is not known: what is within is no difference.
        after = clock.now_s()
        groups = await ask_all(there, JSZ, JetStreamAnswer)
    facts = [
        from_varz(answer.data, clock_apart_s=clock.apart_s(answer.server.time, before, after)) for answer in answers
    ]
    if not any(answer.data.meta_cluster for answer in groups):
        return facts, "alone"
    found = find_leader(groups)
    return facts, "" if found is None else found.leader


def read_server_file(path: Path) -> ServerFacts:
    """Return what the file of a server says.  Raises InvalidSetting."""
    config = read_conf(path)
    facts = from_config(config, path, ())
    named = [path, *map(Path, key_files(config)), *([Path(facts.store)] if facts.store else [])]
    return msgspec.structs.replace(facts, open_files=tuple(str(each) for each in named if _is_open(each)))


def _is_open(path: Path) -> bool:
    """Say whether others can read a file, or look into a folder; what is not there, or not for us, is not open."""
    try:
        status = path.stat()
        above = path.absolute().parent.stat()
    except OSError:
        return False
    if not status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return False
    return bool(above.st_mode & (stat.S_IXGRP | stat.S_IXOTH))
