"""Computing options: what follows from the machine and from the other options, as in Salt."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from sylvite.auth.keyring_values import ID_CHARACTERS_MAX, InvalidMinionId, check_id
from sylvite.client.address import SOCKET, bus_in
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.node import NodeOptions
from sylvite.errors import InvalidSetting

Options = TypeVar("Options", bound=NodeOptions)

SOCKET_PATH_BYTES_MAX = 107
ID_FILE = "minion_id"
_BELOW_ROOT = ("sock_dir", "pki_dir", "cachedir", "data_dir", "log_file")
_master = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:/\[\]]+))(?::(?P<port>[0-9]{1,5}))?").fullmatch


def compute(options: Options, folder: Path) -> tuple[Options, tuple[str, ...], list[InvalidSetting]]:
    """Return the options as they count, the names of those that were computed, and what is wrong with them.

    `folder`: that of the main file; the id that a minion had before is kept there.
    """
    errors: list[InvalidSetting] = []
    computed: list[str] = []
    changes: dict[str, object] = {}
    if not options.id:
        changes["id"] = _find_id(options, folder)
        computed.append("id")
    root = options.root_dir
    for name in _BELOW_ROOT:
        path: Path | None = getattr(options, name)
        if path is not None and (below := below_root(root, path)) != path:
            changes[name] = below
            computed.append(name)
    found = msgspec.structs.replace(options, **changes)
    if reason := what_is_wrong_with_id(found.id):
        errors.append(InvalidSetting("id", found.id, reason))
    if len(os.fsencode(found.sock_dir / SOCKET)) > SOCKET_PATH_BYTES_MAX:
        reason = (
            f"is too long: a UNIX socket's path has at most {SOCKET_PATH_BYTES_MAX} bytes, with {SOCKET} at its end"
        )
        errors.append(InvalidSetting("sock_dir", str(found.sock_dir), reason))
    if isinstance(found, MasterOptions) and found.cluster and not found.cluster.node:
        found = msgspec.structs.replace(found, cluster=msgspec.structs.replace(found.cluster, node=found.id))
    if isinstance(found, MinionOptions):
        errors += _wrong_masters(found)
    return found, tuple(computed), errors


def bus_of(options: NodeOptions) -> Path:
    """Return where clients find the bus of a node."""
    return Path(bus_in(options.sock_dir, options.ipc_mode))


def below_root(root: Path, path: Path) -> Path:
    """Return a path below the root; one that is there already stays."""
    if path.is_absolute() and path.is_relative_to(root):
        return path
    return root / str(path).lstrip("/")


def what_is_wrong_with_id(text: str) -> str | None:
    try:
        check_id(text)
    except InvalidMinionId as error:
        return f"is no id: {error.reason}"
    return None


def _find_id(options: NodeOptions, folder: Path) -> str:
    if isinstance(options, MinionOptions):
        return kept_id(folder) or machine_name()
    return f"{machine_name()}_master" if isinstance(options, MasterOptions) else machine_name()


def kept_id(folder: Path) -> str | None:
    """Return the id that a minion had before the machine was called otherwise."""
    try:
        with (folder / ID_FILE).open("rb") as file:
            found = file.read(4 * ID_CHARACTERS_MAX + 1).decode().strip()
    except (OSError, UnicodeDecodeError):
        return None
    return found if what_is_wrong_with_id(found) is None else None


def keep_id(folder: Path, minion_id: str) -> None:
    """Keep the id of a minion, which its key and its events bear, for when the machine is called otherwise."""
    if kept_id(folder) == minion_id:
        return
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{ID_FILE}.new"
    new.write_text(f"{minion_id}\n", encoding="utf-8")
    new.replace(folder / ID_FILE)


def machine_name(
    full_name: Callable[[], str] = socket.getfqdn, short_name: Callable[[], str] = socket.gethostname
) -> str:
    """Return the name of this machine with its domain, if it knows one."""
    for name in (full_name(), short_name()):
        if what_is_wrong_with_id(name) is None and not name.startswith("localhost") and not _is_v6(name):
            return name
    return "localhost"


def master_addresses(options: MinionOptions) -> list[tuple[str, int]]:
    """Return host and port of each master, in the order in which they are tried unless `random_master` says otherwise.

    Raises InvalidSetting: one of them cannot be read.
    """
    return [_address(text, options.master_port) for text in options.master]


def _address(text: str, port: int) -> tuple[str, int]:
    if _is_v6(text):
        return text, port
    found = _master(text)
    if found is None or (found["v6"] and not _is_v6(found["v6"])) or not 1 <= int(found["port"] or port) <= 65_535:
        raise InvalidSetting("master", text, "is no address; write HOST, HOST:PORT or [IPV6]:PORT")
    return found["v6"] or found["host"], int(found["port"] or port)


def _is_v6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _wrong_masters(options: MinionOptions) -> list[InvalidSetting]:
    if not options.master and options.master_type != "disable":
        return [InvalidSetting("master", [], "names nobody; a minion without a master has master_type: disable")]
    errors: list[InvalidSetting] = []
    for text in options.master:
        try:
            _address(text, options.master_port)
        except InvalidSetting as error:
            errors.append(error)
    return errors
