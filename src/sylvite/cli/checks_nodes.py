"""The checks of `sylvite doctor` on a master and a minion, where this machine has one."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sylvite.cli.amounts import show_bytes, show_duration, show_number_of
from sylvite.cli.checks import Finding, Node
from sylvite.cli.node_facts import load_nodes, master_facts, minion_facts
from sylvite.client.sync_client import Client
from sylvite.errors import InvalidSetting, SylviteError

if TYPE_CHECKING:
    from sylvite.daemons.options.master import MasterOptions
    from sylvite.daemons.options.minion import MinionOptions
    from sylvite.daemons.options.reading import Loaded

REACHED_WITHIN_S = 3.0
SHOWN_MAX = 5


def check_nodes(node: Node) -> list[Finding]:
    """Look at the master and the minion of this machine, where there is one."""
    del node
    master, minion = load_nodes()
    findings: list[Finding] = []
    if master is not None:
        findings += _check_node("master", master, check_master)
    if minion is not None:
        findings += _check_node("minion", minion, check_minion)
    return findings


def _check_node(name: str, loaded: Loaded[Any], more: Callable[[Any], list[Finding]]) -> list[Finding]:
    findings = [Finding(name, "FAIL", str(wrong), f"`sylvite config check --node {name}`") for wrong in loaded.errors]
    if findings:
        return findings
    said = (
        f"configured by {', '.join(loaded.files)}" if loaded.files else "has no configuration, so all has its default"
    )
    findings.append(Finding(name, "ok", said))
    if loaded.notices:
        text = f"{show_number_of(len(loaded.notices), 'option')} in its files without a meaning here"
        findings.append(Finding(name, "warn", text, f"`sylvite config check --node {name}` lists them"))
    return findings + _check_folders(name, loaded.options) + more(loaded.options)


def _check_folders(name: str, options: Any) -> list[Finding]:
    from sylvite.daemons.precautions import check_folder

    findings: list[Finding] = []
    for setting in ("data_dir", "sock_dir", "cachedir"):
        path: Path = getattr(options, setting)
        if not path.exists():
            continue  # The first start makes it.
        try:
            check_folder(path, setting)
        except InvalidSetting as error:
            findings.append(
                Finding(name, "FAIL", str(error), f"run doctor as the user of the {name}, or as the text says")
            )
    try:
        status = os.statvfs(options.data_dir)
    except OSError:
        return findings
    free, keep_free = status.f_bavail * status.f_frsize, options.broker.log.keep_free_bytes
    text = f"{show_bytes(free)} free for {options.data_dir}"
    if free < 4 * keep_free:
        cure = "free some space, or set broker: log: keep_bytes"
        return [*findings, Finding(name, "FAIL" if free <= keep_free else "warn", text, cure)]
    return [*findings, Finding(name, "ok", text)]


def check_master(options: MasterOptions) -> list[Finding]:
    runs = _check_bus("master", options)
    try:
        facts = master_facts(options)
    except SylviteError as error:
        return [runs, Finding("keys", "warn", str(error), "start the master once, or run doctor as its user")]
    findings = [runs]
    if runs.state == "ok":
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.interface, options.interface)  # noqa: S104 - as it is configured
        where = f"{options.interface} port {options.ret_port}"
        reached = _reach(host, options.ret_port)
        if isinstance(reached, str):
            findings.append(
                Finding(
                    "link", "FAIL", f"minions are not awaited on {where}: {reached}", "look at what the master logs"
                )
            )
        else:
            text = f"minions are awaited on {where}; {show_number_of(len(facts.connected), 'minion')} connected"
            findings.append(Finding("link", "ok", text))
        if facts.away:
            cure = (
                "look at what they log, and at the network; `sylvite keys delete` forgets those that are gone for good"
            )
            findings.append(Finding("link", "warn", f"not connected: {_list(facts.away)}", cure))
    if facts.waiting:
        cure = "compare with `sylvite keys finger --minion` there; then `sylvite keys accept`, or reject"
        findings.append(Finding("keys", "warn", f"waiting to be let in: {_list(facts.waiting)}", cure))
    if facts.denied:
        cure = "two machines have one id, or somebody tries to be another: `sylvite keys list --state denied`"
        findings.append(Finding("keys", "warn", f"denied: {_list(facts.denied)}", cure))
    if facts.not_announced:
        text = f"{show_number_of(facts.not_announced, 'change')} of keys not announced on the bus yet"
        findings.append(Finding("keys", "warn", text, "start the master: it announces them"))
    return findings


def check_minion(options: MinionOptions) -> list[Finding]:
    from sylvite.daemons.masters import FILE
    from sylvite.daemons.options.computing import bus_of, master_addresses

    runs = _check_bus("minion", options)
    findings = [runs]
    if options.master_type == "disable":
        return findings
    knows_one = bool(options.master_finger) or (options.pki_dir / FILE).exists()
    if not knows_one:
        cure = "set master_finger to what `sylvite keys finger` says on the master"
        findings.append(Finding("minion", "warn", "it knows no master, and trusts none for coming first", cure))
    for host, port in master_addresses(options):
        reached = _reach(host, port)
        if isinstance(reached, str):
            cure = "see whether the master runs, and what is between: names, routes, firewalls"
            findings.append(Finding("minion", "warn", f"the master {host}:{port} is not reached: {reached}", cure))
        else:
            findings.append(
                Finding("minion", "ok", f"the master {host}:{port} takes connections, within {show_duration(reached)}")
            )
            if knows_one:
                findings.append(_check_key(options, host, port))
    if runs.state == "ok":
        try:
            with Client.connect(
                bus_of(options), timeout_s=REACHED_WITHIN_S, reconnect_s=0.0, name="sylvite doctor"
            ) as bus:
                waiting = minion_facts(bus, options.id).waiting
        except SylviteError as error:
            return [*findings, Finding("minion", "warn", str(error), "run doctor as the user of the minion")]
        if waiting:
            cure = (
                "they go up once it is let in: look at what the minion logs, and at `sylvite keys list` on the master"
            )
            findings.append(
                Finding("minion", "warn", f"{show_number_of(waiting, 'event')} for the master on hold", cure)
            )
        else:
            findings.append(Finding("minion", "ok", "the master has all events"))
    return findings


def _check_key(options: MinionOptions, host: str, port: int) -> Finding:
    """See whether a master shows a key that the minion trusts."""
    import ssl

    from sylvite.auth.enrolment import WrongMaster, judge_master
    from sylvite.auth.keys import InvalidKey
    from sylvite.daemons.masters import KnownMasters
    from sylvite.link.tls import minion_context, shown_by

    try:
        pins = KnownMasters(options.pki_dir).pins(options.master_finger, None, trust_first=False)
        with (
            socket.create_connection((host, port), REACHED_WITHIN_S) as plain,
            minion_context().wrap_socket(plain) as connection,
        ):
            judge_master(shown_by(connection), pins, time.time_ns())
    except (WrongMaster, InvalidKey) as error:
        cure = (
            "compare with `sylvite keys finger` on the master: if it has another key, set master_finger; if not, "
            "somebody is in between"
        )
        return Finding("minion", "FAIL", f"the master {host}:{port} is not to be trusted: {error}", cure)
    except (OSError, ssl.SSLError, SylviteError) as error:
        cure = "run doctor as the user of the minion, and look at what the master logs"
        return Finding("minion", "warn", f"the key of the master {host}:{port} was not seen: {error}", cure)
    return Finding("minion", "ok", f"the master {host}:{port} shows a key that is trusted")


def _check_bus(name: str, options: Any) -> Finding:
    from sylvite.daemons.options.computing import bus_of

    place = bus_of(options)
    try:
        Client.connect(place, timeout_s=REACHED_WITHIN_S, reconnect_s=0.0, name="sylvite doctor").close()
    except SylviteError as error:
        return Finding(name, "FAIL", f"it does not run, or not for you: {error}", f"start it: `sylvite {name}`")
    return Finding(name, "ok", f"it runs, with its bus at {place}")


def _reach(host: str, port: int) -> float | str:
    """Return how long a connection took, or why there is none."""
    began = time.monotonic()
    try:
        socket.create_connection((host, port), REACHED_WITHIN_S).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return time.monotonic() - began


def _list(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - SHOWN_MAX} more" if len(ids) > SHOWN_MAX else ""
    return f"{', '.join(ids[:SHOWN_MAX])}{more}"
