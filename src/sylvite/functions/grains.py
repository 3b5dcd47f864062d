"""Grains: what is known of this machine, from the kernel and from files.  No program is run, and nobody is asked over the network."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import ipaddress
import os
import platform
import pwd
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Any

from sylvite.functions.os_release import PLACES, os_grains, read_os_release
from sylvite.version import __version__

READ_BYTES_MAX = 1024 * 1024
_SIOCGIFADDR = 0x8915


def collect_grains(node: str | None = None, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return all grains.  `node`: the id; without it the name of the machine.  `more`: the operator's, which win."""
    names = _names()
    grains: dict[str, Any] = {"id": node or names["fqdn"], **names}
    for part in (_kernel, _system, _hardware, _network, _process):
        grains |= part()
    return {**grains, **(more or {})}


def _read(path: str) -> str:
    """Return what is in a file of the system; nothing where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(READ_BYTES_MAX)
    except OSError:
        return ""


def _names() -> dict[str, Any]:
    node = socket.gethostname()
    full = node if "." in node else full_name(node, _read("/etc/hosts"))
    host, _, domain = full.partition(".")
    return {"host": host, "nodename": node, "localhost": node, "fqdn": full, "domain": domain}


def full_name(node: str, hosts: str) -> str:
    """Return the name with its domain, as a file of hosts has it; the name alone where it has none."""
    # A name server may take five seconds to say that it does not know.
    for line in hosts.splitlines():
        names = line.partition("#")[0].split()[1:]
        if node in names:
            return next((name for name in names if name.startswith(f"{node}.")), node)
    return node


def _kernel() -> dict[str, Any]:
    about = os.uname()
    return {
        "kernel": about.sysname,
        "kernelrelease": about.release,
        "kernelversion": about.version,
        "cpuarch": about.machine,
        "init": _read("/proc/1/comm").strip() or "unknown",
        "machine_id": _read("/etc/machine-id").strip(),
    }


def _system() -> dict[str, Any]:
    content = next((found for found in map(_read, PLACES) if found), "")
    return os_grains(read_os_release(content))


def _hardware() -> dict[str, Any]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        "Unknown",
    )
    memory = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)
    return {
        "num_cpus": os.cpu_count() or 1,
        "cpu_model": model,
        "mem_total": _mebibytes(memory.get("MemTotal", "")),
        "swap_total": _mebibytes(memory.get("SwapTotal", "")),
    }


def _mebibytes(text: str) -> int:
    number = text.split()[:1]
    return int(number[0]) // 1024 if number and number[0].isdigit() else 0


def _network() -> dict[str, Any]:
    four, hardware = _interfaces()
    six = six_addresses(_read("/proc/net/if_inet6"))
    names = sorted({*four, *six})
    return {
        "ip4_interfaces": four,
        "ip6_interfaces": six,
        "ip_interfaces": {name: [*four.get(name, []), *six.get(name, [])] for name in names},
        "ipv4": sorted({address for addresses in four.values() for address in addresses}),
        "ipv6": sorted({address for addresses in six.values() for address in addresses}),
        "hwaddr_interfaces": hardware,
    }


def _interfaces() -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return by interface its address (the first one) and its hardware address."""
    four: dict[str, list[str]] = {}
    hardware: dict[str, str] = {}
    try:
        listed = socket.if_nameindex()
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:
        return four, hardware
    with probe:
        for _, name in listed:
            four[name] = []
            with contextlib.suppress(OSError):  # An interface without an address.
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                four[name] = [socket.inet_ntoa(answer[20:24])]
            address = _read(f"/sys/class/net/{name}/address").strip()
            if address:
                hardware[name] = address
    return four, hardware


def six_addresses(content: str) -> dict[str, list[str]]:
    """Return by interface its IPv6 addresses, from /proc/net/if_inet6."""
    found: dict[str, list[str]] = {}
    for line in content.splitlines():
        words = line.split()
        with contextlib.suppress(ValueError, IndexError):
            found.setdefault(words[5], []).append(str(ipaddress.IPv6Address(int(words[0], 16))))
    return found


def _process() -> dict[str, Any]:
    uid, gid = os.geteuid(), os.getegid()
    return {
        "pythonversion": list(sys.version_info),
        "pythonexecutable": sys.executable,
        "pythonimplementation": platform.python_implementation(),
        "sylviteversion": __version__,
        "sylviteversioninfo": [int(part) for part in __version__.split(".") if part.isdigit()],
        "uid": uid,
        "gid": gid,
        "username": _name_of(uid, pwd.getpwuid),
        "groupname": _name_of(gid, grp.getgrgid),
        "pid": os.getpid(),
        "systempath": os.environ.get("PATH", "").split(os.pathsep),
    }


def _name_of(number: int, look_up: Any) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return ""
