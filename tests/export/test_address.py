"""Which URLs are read, and which addresses a webhook may go to."""

from __future__ import annotations

import ipaddress

import pytest

from sylvite.errors import InvalidSetting
from sylvite.export.address import is_allowed, parse_networks, parse_url

REFUSED = (
    "127.0.0.1", "127.255.1.2", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "192.0.0.192", "168.63.129.16", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "fe80::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1",
    "100::1", "3fff::1",
)  # fmt: skip
ALLOWED = ("1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1")


@pytest.mark.parametrize("text", REFUSED)
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_allowed(ipaddress.ip_address(text), ())


@pytest.mark.parametrize("text", ALLOWED)
def test_public_addresses(text: str) -> None:
    assert is_allowed(ipaddress.ip_address(text), ())


def test_networks_that_are_allowed_by_name() -> None:
    networks = parse_networks(["10.0.0.0/8", "fd00::/8"])
    for text in ("10.1.2.3", "fd12::1", "::ffff:10.1.2.3", "1.1.1.1"):
        assert is_allowed(ipaddress.ip_address(text), networks)
    for text in ("127.0.0.1", "192.168.1.1", "::1"):
        assert not is_allowed(ipaddress.ip_address(text), networks)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.com/", "in the clear"),
        ("ftp://example.com/", "https://HOST/PATH"),
        ("https:///a", "https://HOST/PATH"),
        ("example.com", "https://HOST/PATH"),
        ("https://user:pass-word@example.com/", "no password"),
        ("https://example.com/#part", "behind #"),
        ("https://example.com:99999/", "no URL"),
        ("https://exa mple.com/", "without blanks"),
        ("https://example.com/\r\nx: y", "without blanks"),
        ("https://ex\u00e4mple.com/", "ASCII"),
    ],
)
def test_urls_that_are_refused(url: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said) as caught:
        parse_url(url, allow_http=False)
    assert "pass-word" not in str(caught.value)


def test_urls() -> None:
    target = parse_url("https://example.com:8443/a/b?c=d", allow_http=False)
    assert (target.is_tls, target.host, target.port, target.path) == (True, "example.com", 8443, "/a/b?c=d")
    assert target.shown_host == "example.com:8443"
    assert parse_url("https://[2606:4700::1111]", allow_http=False).shown_host == "[2606:4700::1111]"
    assert parse_url("http://localhost", allow_http=True).path == "/"


def test_what_is_no_network() -> None:
    with pytest.raises(InvalidSetting, match="no network"):
        parse_networks(["10.0.0.1/8"])
