"""The checks of `sylvite doctor`.  Each looks at one thing and says what it finds; none changes anything."""

from __future__ import annotations

import os
import platform
import pwd
import resource
import stat
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from sylvite.broker.settings import FILES_APART
from sylvite.cli.amounts import show_bytes, show_duration
from sylvite.client.address import is_tcp
from sylvite.client.sync_client import Client
from sylvite.errors import BrokerNotReachable, NotAllowed, NotAuthenticated, SylviteError
from sylvite.version import __version__

SLOW_S = 0.25
CLOCK_APART_S = 1.0
YEAR_MIN_NS = 1_704_067_200_000_000_000
"""2024: a clock that says less was never set."""
NANOSECONDS = 1_000_000_000
SOCKET_PATH_BYTES_MAX = 107


class Finding(msgspec.Struct, frozen=True):
    name: str
    state: Literal["ok", "warn", "FAIL"]
    text: str
    cure: str = ""


class Node:
    """What the checks look at.  `stats`: what the broker said, None where it did not."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.stats: dict[str, Any] | None = None
        self.asked_ns = 0


def check_program(node: Node) -> list[Finding]:
    del node
    text = f"sylvite {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    findings = [Finding("program", "ok", text)]
    if platform.system() != "Linux":
        findings.append(Finding("program", "warn", "Sylvite is tested on Linux only", "run the broker on Linux"))
    try:
        import uvloop
    except ImportError:
        findings.append(
            Finding("program", "warn", "uvloop is not installed: the broker is slower", "pip install 'sylvite[fast]'")
        )
    else:
        findings.append(Finding("program", "ok", f"uvloop {uvloop.__version__}"))
    import google_crc32c

    if google_crc32c.implementation != "c":
        cure = "install a wheel of google-crc32c for this platform"
        findings.append(Finding("program", "warn", "checksums are computed in Python, which is slow", cure))
    return findings


def check_socket(node: Node) -> list[Finding]:
    path = node.socket
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX and not is_tcp(path):
        text = f"{path} has more than {SOCKET_PATH_BYTES_MAX} bytes, more than a UNIX socket's path can"
        return [Finding("socket", "FAIL", text, "choose a shorter one: --socket, or broker --dir")]
    try:
        status = path.stat()
    except FileNotFoundError:
        return [
            Finding("socket", "FAIL", f"{path} is not there", "start a broker (`sylvite broker`), or give --socket")
        ]
    except OSError as error:
        cure = f"you are {_user(os.geteuid())}: ask the owner of {path.parent} for access"
        return [Finding("socket", "FAIL", f"{path}: {(error.strerror or '').lower()}", cure)]
    mode = stat.S_IMODE(status.st_mode)
    text = f"{path}, mode {mode:04o}, owner {_user(status.st_uid)}"
    if is_tcp(path):
        if mode & 0o077:
            cure = f"chmod 600 {path}, then restart the broker for a new token"
            return [Finding("socket", "FAIL", f"{text}: others can read the token in it", cure)]
        return [Finding("socket", "ok", text)]
    if not stat.S_ISSOCK(status.st_mode):
        return [Finding("socket", "FAIL", f"{path} is no socket", "move it away, or give another --socket")]
    if not os.access(path, os.W_OK):
        cure = "ask its owner: the policy of the broker must name you, and the socket's mode must let you"
        return [Finding("socket", "FAIL", f"{text}: you may not connect to it", cure)]
    return [Finding("socket", "ok", text), *_check_socket_folder(path.parent)]


def _check_socket_folder(folder: Path) -> list[Finding]:
    mode = folder.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        text = f"others may write to {folder}, and so put a socket of theirs in the place of the broker's"
        return [Finding("socket", "FAIL", text, f"chmod go-w {folder}")]
    return []


def check_broker(node: Node) -> list[Finding]:
    started = time.monotonic()
    try:
        with Client.connect(node.socket, timeout_s=5.0, reconnect_s=0.0, name="sylvite doctor") as client:
            connected_s = time.monotonic() - started
            text = f"{client.welcome.broker} takes you for {client.welcome.sender}, answered in {show_duration(connected_s)}"
            try:
                node.stats = client.ask("stats")
                node.asked_ns = time.time_ns()
            except NotAllowed:
                return [Finding("broker", "ok", f"{text}; only its own user sees more, so the checks end here")]
    except NotAuthenticated as error:
        return [Finding("broker", "FAIL", str(error), "ask who runs it to name you in its policy")]
    except BrokerNotReachable as error:
        return [
            Finding("broker", "FAIL", f"no broker at {error.address}: {error.reason}", "start it: `sylvite broker`")
        ]
    except SylviteError as error:
        return [Finding("broker", "FAIL", str(error), "look at what the broker logs; restart it if it hangs")]
    if connected_s > SLOW_S:
        return [
            Finding(
                "broker", "warn", text, "slow: see `sylvite status` for who keeps it busy, and the load of the machine"
            )
        ]
    return [Finding("broker", "ok", text)]


def check_log(node: Node) -> list[Finding]:
    if node.stats is None:
        return []
    log = node.stats["log"]
    folder = Path(log["folder"])
    findings: list[Finding] = []
    try:
        status = folder.stat()
    except OSError as error:
        text = f"{folder}: {(error.strerror or '').lower()}"
        return [Finding("log", "warn", text, "run doctor as the user, and where the broker runs, to see the folder")]
    mode = stat.S_IMODE(status.st_mode)
    text = f"{folder}, mode {mode:04o}, owner {_user(status.st_uid)}"
    if mode & 0o022:
        findings.append(Finding("log", "FAIL", f"{text}: others may change the log", f"chmod go-w {folder}"))
    elif mode & 0o044:
        findings.append(Finding("log", "warn", f"{text}: others may read all events", f"chmod go-rx {folder}"))
    else:
        findings.append(Finding("log", "ok", text))
    for damage in log["damaged"]:
        text = f"{damage['segment']} is damaged: @{damage['first']}..@{damage['next'] - 1} cannot be read"
        findings.append(
            Finding("log", "FAIL", text, "check the disk; restore that file from a copy; `sylvite log verify`")
        )
    if node.stats["counters"].get("sync_failures"):
        text = f"the disk has refused {node.stats['counters']['sync_failures']} times to make events durable"
        findings.append(Finding("log", "FAIL", text, "look for disk errors (dmesg, smartctl), and replace the disk"))
    return findings


def check_disk(node: Node) -> list[Finding]:
    if node.stats is None:
        return []
    log = node.stats["log"]
    free, keep_free = log["free_bytes"], log["keep_free_bytes"]
    text = f"{show_bytes(free)} free; publishing stops at {show_bytes(keep_free)}"
    cure = "free some space, or let the log keep less: `sylvite log prune`, --keep-size"
    if free <= keep_free:
        return [Finding("disk", "FAIL", text, cure)]
    if free < 4 * keep_free:
        return [Finding("disk", "warn", text, cure)]
    findings = [Finding("disk", "ok", text)]
    if log["keep_bytes"] is None and log["keep_s"] is None:
        cure = "set a limit: --keep-size, --keep-age"
        findings.append(
            Finding("disk", "warn", "the log is kept for ever, so that the disk will be full one day", cure)
        )
    return findings


def check_files(node: Node) -> list[Finding]:
    limit, whose = _broker_file_limit(node)
    text = f"{whose} may open {'any number of' if limit is None else limit} files"
    wanted = 1024 + FILES_APART
    if limit is not None and limit < wanted:
        cure = f"ulimit -n {wanted}, or LimitNOFILE={wanted} in its unit"
        return [Finding("files", "warn", f"{text}: each client needs one", cure)]
    return [Finding("files", "ok", text)]


def _broker_file_limit(node: Node) -> tuple[int | None, str]:
    """Return the limit of the broker where the system tells it, else our own, and whose it is."""
    if node.stats is not None:
        process = str(node.stats["broker"]).rpartition(":")[2]
        try:
            lines = Path(f"/proc/{int(process)}/limits").read_text().splitlines()
        except (OSError, ValueError):
            lines = []
        for line in lines:
            if line.startswith("Max open files"):
                soft = line.split()[3]
                return (None if soft == "unlimited" else int(soft)), "the broker"
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (None if soft == resource.RLIM_INFINITY else soft), "a process of yours"


def check_clock(node: Node) -> list[Finding]:
    now_ns = time.time_ns()
    cure = "set the clock, and let NTP keep it (chrony, systemd-timesyncd)"
    if now_ns < YEAR_MIN_NS:
        return [Finding("clock", "FAIL", f"it is {time.strftime('%Y-%m-%d')} here: the clock was never set", cure)]
    if node.stats is None:
        return [Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S %z"))]
    apart_s = (node.asked_ns - node.stats["now_ns"]) / NANOSECONDS
    if abs(apart_s) > CLOCK_APART_S:
        text = f"the broker's clock and ours are {show_duration(abs(apart_s))} apart"
        return [Finding("clock", "warn", text, cure)]
    return [Finding("clock", "ok", f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}, and the broker agrees")]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
