"""Where a webhook may go: which URLs are read, and which addresses are never connected to unless they are allowed.

Without this, whoever can say where events go could reach what only we can reach: this machine, the networks behind it, and
the addresses at which clouds hand out credentials.  Names are looked up once, and what was looked at is connected to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from sylvite.errors import InvalidSetting

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
URL_CHARACTERS_MAX = 2048
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32",  # The last is public, and a cloud's own all the same.
        "64:ff9b:1::/48", "fec0::/10", "2001::/23", "3fff::/20", "5f00::/16",
    )
)  # fmt: skip
"""Beside those that `ipaddress` knows as not global."""


class Target(NamedTuple):
    """A URL in its parts.  `shown_host`: as it stands in the header Host."""

    is_tls: bool
    host: str
    port: int
    path: str

    @property
    def shown_host(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"


def parse_url(url: str, *, allow_http: bool) -> Target:
    """Return where a URL leads.  Raises InvalidSetting: it is none, or may not be posted to."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > URL_CHARACTERS_MAX:
        raise InvalidSetting("url", url, f"must be ASCII without blanks, and at most {URL_CHARACTERS_MAX} characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidSetting("url", url, f"is no URL: {error}") from error
    if parts.scheme not in ("https", "http") or not host:
        raise InvalidSetting("url", url, "must be https://HOST/PATH")
    if parts.scheme == "http" and not allow_http:
        raise InvalidSetting("url", url, "would go in the clear; use https, or allow it with allow_http")
    if parts.username is not None or parts.password is not None:
        raise InvalidSetting(
            "url", f"{parts.scheme}://***@{host}", "must hold no password: a delivery is signed instead"
        )
    if parts.fragment:
        raise InvalidSetting("url", url, "has a part behind #, which is never sent")
    is_tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(is_tls, host, port if port is not None else (443 if is_tls else 80), path)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises InvalidSetting: one is no network."""
    found: list[Network] = []
    for text in texts:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise InvalidSetting("allow_networks", text, f"is no network such as 10.0.0.0/8: {error}") from error
    return tuple(found)


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Say whether an address may be connected to: it is public, or one of those networks."""
    inner = _inner(address)
    if any(each in network for each in {address, inner} for network in allowed if each.version == network.version):
        return True
    return _is_public(address) and (inner is address or _is_public(inner))


def _is_public(address: Address) -> bool:
    if not address.is_global and _inner(address) is address:
        return False
    never = address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified
    if never or (address.is_reserved and _inner(address) is address):
        return False
    return not any(address in network for network in _NEVER if network.version == address.version)


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to, as far as it says so; else the same."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
