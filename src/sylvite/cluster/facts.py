"""Facts of a NATS server, from the ways in which they can be seen: what it tells a client, what it tells its system
account, and what its file says.  What could not be seen is None."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from sylvite.cluster.settings import is_loopback

NANOSECONDS = 1_000_000_000
ALWAYS = 0.0
"""Of `sync_s`: before each answer."""
USUAL_STORE = "/tmp/nats/"  # noqa: S108 - where nats-server keeps its streams if nobody says otherwise
_duration = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)").fullmatch
_seconds = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Listening(msgspec.Struct, frozen=True):
    """An address that a server listens at."""

    host: str
    port: int

    @property
    def is_open(self) -> bool:
        """Whether others than this machine reach it."""
        return not is_loopback(self.host)

    def __str__(self) -> str:
        return f"{self.host or '*'}:{self.port}"


class ServerFacts(msgspec.Struct, frozen=True):
    """`extra`: listeners that are not needed, by their name.  `open_files`: those that others can read.  `sync_s`: how long
    what was acknowledged may be in memory alone.  `clock_apart_s`: how far its clock is from ours.
    """

    name: str
    sources: tuple[str, ...] = ()
    version: str | None = None
    jetstream: bool | None = None
    sync_s: float | None = None
    clients: Listening | None = None
    auth: bool | None = None
    tls: bool | None = None
    no_auth_user: bool | None = None
    verify_and_map: bool | None = None
    monitoring: tuple[Listening, ...] | None = None
    extra: Mapping[str, Listening] | None = None
    routes: Listening | None = None
    route_auth: bool | None = None
    route_tls: bool | None = None
    payload_bytes_max: int | None = None
    store: str | None = None
    store_bytes_max: int | None = None
    open_files: tuple[str, ...] | None = None
    clock_apart_s: float | None = None

    def joined(self, other: ServerFacts) -> ServerFacts:
        """Return both; where both know something, the other one counts."""
        known = {name: value for name in self.__struct_fields__ if (value := getattr(other, name)) is not None}
        return msgspec.structs.replace(self, **{**known, "sources": self.sources + other.sources})


def from_info(info: Mapping[str, Any], *, clock_apart_s: float | None) -> ServerFacts:
    """Return what a server tells each client that connects."""
    return ServerFacts(
        str(info.get("server_name", "")),
        ("client",),
        version=str(info.get("version", "")),
        jetstream=bool(info.get("jetstream")),
        auth=bool(info.get("auth_required")),
        tls=bool(info.get("tls_required")),
        payload_bytes_max=int(info.get("max_payload", 0)),
        clock_apart_s=clock_apart_s,
    )


def from_varz(varz: Mapping[str, Any], *, clock_apart_s: float | None) -> ServerFacts:
    """Return what a server tells its system account."""
    config = _map(_map(varz.get("jetstream")).get("config"))
    routes = _map(varz.get("cluster"))
    is_routed = bool(routes.get("cluster_port"))
    return ServerFacts(
        str(varz.get("server_name", "")),
        ("system",),
        version=str(varz.get("version", "")),
        jetstream=bool(config),
        sync_s=_sync_of(config) if config else None,
        clients=Listening(str(varz.get("host", "")), int(varz.get("port", 0))),
        auth=bool(varz.get("auth_required")),
        tls=bool(varz.get("tls_required")),
        monitoring=_listed(varz, "http_host", ("http_port", "https_port")),
        extra=_extra_of({"gateway": "gateway", "leafnodes": "leaf", "mqtt": "mqtt", "websocket": "websocket"}, varz),
        routes=Listening(str(routes.get("addr", "")), int(routes["cluster_port"])) if is_routed else None,
        route_tls=bool(routes.get("tls_required")) if is_routed else None,
        payload_bytes_max=int(varz.get("max_payload", 0)),
        store=str(config.get("store_dir", "")) or None,
        store_bytes_max=config.get("max_storage"),
        clock_apart_s=clock_apart_s,
    )


def _sync_of(config: Mapping[str, Any]) -> float:
    return ALWAYS if config.get("sync_always") else config.get("sync_interval", 120 * NANOSECONDS) / NANOSECONDS


def _listed(found: Mapping[str, Any], host: str, ports: Sequence[str]) -> tuple[Listening, ...]:
    return tuple(Listening(str(found.get(host, "")), int(found[port])) for port in ports if found.get(port))


def _extra_of(names: Mapping[str, str], found: Mapping[str, Any]) -> dict[str, Listening]:
    listening: dict[str, Listening] = {}
    for name, key in names.items():
        said = _map(found.get(key))
        if said.get("port"):
            listening[name] = Listening(str(said.get("host", "")), int(said["port"]))
    return listening


def from_config(config: Mapping[str, Any], path: Path, open_files: Sequence[str]) -> ServerFacts:
    """Return what the file of a server says.  `open_files`: of those that it names, who is readable by others."""
    routes = _map(config.get("cluster"))
    jetstream = config.get("jetstream")
    js = _map(jetstream)
    clients = _address(config, 4222)
    tls = _map(config.get("tls"))
    return ServerFacts(
        str(config.get("server_name") or path),
        (str(path),),
        jetstream=bool(js) or jetstream in (True, "enabled"),
        sync_s=_config_sync(js.get("sync_interval") or js.get("sync")) if jetstream else None,
        clients=clients,
        auth=_has_auth(config),
        tls=bool(tls),
        no_auth_user="no_auth_user" in config,
        verify_and_map=any(bool(_map(part.get("tls")).get("verify_and_map")) for part in (config, routes)),
        monitoring=_config_monitoring(config),
        extra=_config_extra(config),
        routes=_address(routes, 6222) if routes else None,
        route_auth=bool(_map(routes.get("authorization"))) or bool(_map(routes.get("tls")).get("verify"))
        if routes
        else None,
        route_tls=bool(routes.get("tls")) if routes else None,
        payload_bytes_max=_number(config.get("max_payload"), 1024 * 1024),
        store=str(js.get("store_dir") or js.get("store") or js.get("storedir") or USUAL_STORE) if jetstream else None,
        store_bytes_max=_number(js.get("max_file_store") or js.get("max_file"), None),
        open_files=tuple(open_files),
    )


def key_files(config: Mapping[str, Any]) -> list[str]:
    """Return the files of private keys that the file of a server names."""
    tls = (_map(part.get("tls")) for part in (config, _map(config.get("cluster"))))
    return [part["key_file"] for part in tls if isinstance(part.get("key_file"), str)]


def _map(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _number(value: Any, usual: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else usual


def _config_sync(value: Any) -> float:
    """The unit is missing for plain numbers, which are seconds; without anything it is two minutes."""
    if value == "always":
        return ALWAYS
    if isinstance(value, int | float) and not isinstance(value, bool):
        return max(float(value), 0.001)
    found = _duration(str(value))
    return float(found[1]) * _seconds[found[2]] if found else 120.0


def _has_auth(config: Mapping[str, Any]) -> bool:
    if config.get("authorization") or config.get("operator") or _map(config.get("tls")).get("verify_and_map"):
        return True
    accounts = _map(config.get("accounts"))
    return any(_map(account).get("users") for name, account in accounts.items() if name not in ("$sys", "sys"))


def _address(config: Mapping[str, Any], usual: int) -> Listening:
    """Return where something listens: `listen: host:port`, or `host` and `port`."""
    said = config.get("listen")
    host, port = str(config.get("host") or config.get("net") or config.get("addr") or ""), config.get("port", usual)
    if isinstance(said, int):
        port = said
    elif isinstance(said, str):
        before, _, after = said.rpartition(":")
        host, port = before.strip("[]"), after
    number = int(port) if str(port).lstrip("-").isdigit() else usual
    return Listening(_everywhere(host), number)


def _everywhere(host: str) -> str:
    try:
        return "" if ipaddress.ip_address(host).is_unspecified else host
    except ValueError:
        return host


def _config_monitoring(config: Mapping[str, Any]) -> tuple[Listening, ...]:
    host = str(config.get("host") or config.get("net") or config.get("addr") or "")
    listed = [{"listen": config[key], "host": host} for key in ("http", "https") if config.get(key)]
    listed += [
        {"port": config[key], "host": host} for key in ("http_port", "https_port", "monitor_port") if config.get(key)
    ]
    return tuple(_address(said, 8222) for said in listed)


def _config_extra(config: Mapping[str, Any]) -> dict[str, Listening]:
    found: dict[str, Listening] = {}
    for name, keys in (
        ("gateway", ("gateway",)),
        ("leafnodes", ("leafnodes", "leaf")),
        ("mqtt", ("mqtt",)),
        ("websocket", ("websocket", "ws")),
    ):
        for key in keys:
            if said := _map(config.get(key)):
                found[name] = _address(said, 0)
    if config.get("prof_port"):
        found["profiling"] = Listening("", int(config["prof_port"]))
    return found
