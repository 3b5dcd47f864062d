"""os-release: which system this is, in the names that Salt gives to systems."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

PLACES = ("/etc/os-release", "/usr/lib/os-release")

_NAMES = {
    "almalinux": "AlmaLinux", "alpine": "Alpine", "amzn": "Amazon", "arch": "Arch", "centos": "CentOS", "debian": "Debian",
    "fedora": "Fedora", "gentoo": "Gentoo", "linuxmint": "Mint", "ol": "OEL", "opensuse-leap": "openSUSE",
    "opensuse-tumbleweed": "openSUSE", "raspbian": "Raspbian", "rhel": "RedHat", "rocky": "Rocky", "sles": "SUSE",
    "ubuntu": "Ubuntu", "void": "Void",
}  # fmt: skip
_FAMILIES = {
    "AlmaLinux": "RedHat", "Amazon": "RedHat", "CentOS": "RedHat", "Fedora": "RedHat", "Mint": "Debian", "OEL": "RedHat",
    "Raspbian": "Debian", "Rocky": "RedHat", "SUSE": "Suse", "Ubuntu": "Debian", "openSUSE": "Suse",
}  # fmt: skip


def read_os_release(content: str) -> dict[str, str]:
    """Return the values of an os-release file (os-release(5)); lines that are none are left out."""
    found: dict[str, str] = {}
    for line in content.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        try:
            found[name] = "".join(shlex.split(value))
        except ValueError:
            found[name] = value.strip("\"'")
    return found


def os_grains(release: dict[str, str]) -> dict[str, Any]:
    """Return the grains that tell of the system; those of an unknown one are what it says of itself."""
    name = _NAMES.get(release.get("ID", ""), release.get("NAME", "Linux"))
    version = release.get("VERSION_ID", "")
    numbers = [int(part) for part in version.split(".") if part.isascii() and part.isdigit()]
    grains: dict[str, Any] = {
        "os": name,
        "os_family": _family(name, release.get("ID_LIKE", "").split()),
        "osfullname": release.get("NAME", name),
        "osrelease": version,
        "osrelease_info": numbers,
        "oscodename": release.get("VERSION_CODENAME") or release.get("PRETTY_NAME", ""),
        "osfinger": f"{release.get('NAME', name)}-{_finger(name, version)}",
    }
    if numbers:
        grains["osmajorrelease"] = numbers[0]
    return grains


def _family(name: str, likes: Iterable[str]) -> str:
    if name in _FAMILIES:
        return _FAMILIES[name]
    if name in _NAMES.values():
        return name
    for like in likes:
        parent = _NAMES.get(like)
        if parent is not None:
            return _FAMILIES.get(parent, parent)
    return name


def _finger(name: str, version: str) -> str:
    return version if name == "Ubuntu" else version.partition(".")[0]
