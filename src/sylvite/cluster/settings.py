"""Settings of a cluster: the option `cluster` of a master.  A string of addresses is enough where nothing else is to be said."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Annotated, Any, cast
from urllib.parse import SplitResult, urlsplit

import msgspec

from sylvite.errors import InvalidSetting

PORT = 4222
SCHEMES = ("nats", "tls")
SERVERS_MAX = 32
REPLICAS = (1, 3, 5)
_is_name = re.compile(r"[A-Za-z0-9_-]{1,32}").fullmatch


class ClusterTls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ca`: who has signed the servers' certificates; None: those whom this machine trusts.  `certificate`, `key`: our own."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("tls.certificate and tls.key go together")
        for name in ("ca", "certificate", "key"):
            _check_path(f"tls.{name}", getattr(self, name))


class ClusterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`servers`: of NATS; none: this master is alone.  `name`: of the cluster; it stands in the names of streams and buckets.
    `node`: what this master is called among the others; the master's id where nothing is said.  `credentials`: a file: what
    `nsc` writes (.creds), a seed of an nkey, or YAML with user and password.  `disable_tls`: let servers on other machines
    be spoken to in clear.  `replicas`: how many servers keep each event.  `keep_s`, `keep_bytes`: how much the stream
    keeps; the logs of the masters keep what theirs say.
    """

    servers: tuple[str, ...] = ()
    name: str = "sylvite"
    node: str = ""
    credentials: str | None = None
    tls: ClusterTls | None = None
    disable_tls: bool = False
    replicas: int = 3
    keep_s: Annotated[float, msgspec.Meta(gt=0, le=1e9)] | None = 7 * 86_400.0
    keep_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024)] | None = 4 * 1024 * 1024 * 1024

    def __post_init__(self) -> None:
        if len(self.servers) > SERVERS_MAX:
            raise ValueError(f"servers has more than {SERVERS_MAX} addresses")
        for server in self.servers:
            self._check_server(server)
        if _is_name(self.name) is None:
            raise ValueError(f"name: {self.name[:80]!r} must be 1 to 32 letters, digits, - or _")
        if self.replicas not in REPLICAS:
            raise ValueError(f"replicas: {self.replicas} must be one of {', '.join(map(str, REPLICAS))}")
        _check_path("credentials", self.credentials)

    def __bool__(self) -> bool:
        """Say whether this master has a cluster at all."""
        return bool(self.servers)

    @property
    def wants_tls(self) -> bool:
        return self.tls is not None or any(server.startswith("tls:") for server in self.servers)

    def _check_server(self, server: str) -> None:
        host = address_of(server)[0]
        if not (self.wants_tls or self.disable_tls or is_loopback(host)):
            raise ValueError(
                f"servers: {server!r} is on another machine: write tls://, or say tls, or disable_tls: true"
            )


def address_of(server: str) -> tuple[str, int]:
    """Return host and port of a server.  Raises ValueError: it is no address, or says what belongs elsewhere."""
    try:
        found = urlsplit(server)
        host, port = found.hostname, found.port
    except ValueError as error:
        raise ValueError(f"servers: {server[:80]!r} is no address: {error}") from error
    if found.username is not None or found.password is not None:
        # Not shown: what stands there is a secret.
        raise ValueError("servers: an address holds a user or password; these belong into the file of `credentials`")
    if found.scheme not in SCHEMES or not host or port == 0 or _has_more(found):
        raise ValueError(f"servers: {server[:80]!r} is no address; write nats://HOST:PORT or tls://HOST:PORT")
    return host, port or PORT


def _has_more(found: SplitResult) -> bool:
    return bool(found.path.strip("/") or found.query or found.fragment)


def is_loopback(host: str) -> bool:
    """Say whether what is sent to a host stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_path(name: str, path: str | None) -> None:
    if path is not None and not (path.startswith("/") and "\0" not in path):
        raise ValueError(f"{name}: {path[:80]!r} must be a whole path, from / on")


def read_cluster(value: Any) -> Any:
    """Return the map that a string of addresses stands for; a map may have such a string as its `servers`."""
    if isinstance(value, str):
        value = {"servers": value}
    if not isinstance(value, dict):
        return value
    found = cast("dict[str, Any]", value)
    servers = found.get("servers")
    listed = _split(servers) if isinstance(servers, str) else servers
    if not listed:
        raise InvalidSetting("servers", servers, "names nobody; a master that is alone has no cluster")
    return {**found, "servers": listed}


def _split(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    return [part for part in parts if part]


def write_cluster(settings: ClusterSettings) -> dict[str, Any] | None:
    """Return the settings as a map, for showing; None where there is no cluster."""
    return cast("dict[str, Any]", msgspec.to_builtins(settings)) if settings else None


def join_servers(servers: Iterable[str]) -> str:
    """Return what `read_cluster` takes apart."""
    return ",".join(servers)
