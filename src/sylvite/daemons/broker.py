"""A broker alone: open the log, listen, serve until told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from sylvite.broker.broker import Broker
from sylvite.broker.clock import SystemClock
from sylvite.broker.server import NO_MEMORY, Server
from sylvite.broker.settings import FILES_APART, BrokerSettings
from sylvite.client.address import SOCKET, TCP_FILE, is_tcp
from sylvite.config import read_config
from sylvite.daemons.configuration import Configuration, report
from sylvite.daemons.logs import LogWish, begin
from sylvite.daemons.options.changing import broker_wants_start
from sylvite.daemons.options.computing import bus_of
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.node import NodeOptions
from sylvite.daemons.precautions import check_file, secure_folder, secure_process
from sylvite.daemons.process import log_as, on_signals, run, say_ready
from sylvite.daemons.systemd import notify
from sylvite.errors import InvalidSetting, LogFailed, SylviteError
from sylvite.eventlog.eventlog import EventLog
from sylvite.eventlog.storage import DiskStorage

EXIT_DISK_FAILED = 74
EXIT_INTERNAL = 70
logger = logging.getLogger("sylvite.broker")


class BrokerOptions(msgspec.Struct, frozen=True):
    """What one broker process is told.

    `folder`: socket `bus.sock` and log `log` are below it, unless `socket` or `log_folder` say otherwise.  A socket whose
    name ends in `.tcp` is no UNIX socket, but the file that says on which port of the loopback the broker listens.
    `tcp`: host and port of a loopback listener, whose address goes to `bus.tcp`; port 0 takes a free one.
    `socket_mode`: None gives 0600, or 0666 where the policy names other users (who are then checked one by one).
    `config_says`: what is in the file `config`; `settings`: what counts.
    `ready_fd`: where to write a line once clients can connect.  `logging`: counts where there is no configuration of a node.
    """

    folder: Path
    socket: Path | None = None
    log_folder: Path | None = None
    tcp: tuple[str, int] | None = None
    socket_mode: int | None = None
    config: Path | None = None
    config_says: BrokerSettings = BrokerSettings()
    settings: BrokerSettings = BrokerSettings()
    accept_loss: bool = False
    ready_fd: int | None = None
    logging: LogWish = LogWish()


Beside = Callable[[Path], AbstractAsyncContextManager[None]]
"""What runs in the same process, beside the broker whose socket it is given; entered before the broker is ready."""


def options_of(node: NodeOptions, ready_fd: int | None = None) -> BrokerOptions:
    """Return what the broker of a node is told."""
    settings = node.broker
    if isinstance(node, MasterOptions) and node.cluster:
        settings = msgspec.structs.replace(settings, has_cluster=True)
    return BrokerOptions(folder=node.data_dir, socket=bus_of(node), settings=settings, ready_fd=ready_fd)


def main(
    options: BrokerOptions,
    beside: Beside = lambda _: contextlib.nullcontext(),
    configuration: Configuration[Any] | None = None,
) -> int:
    """Run a broker until SIGTERM or SIGINT; return the exit code.

    `configuration`: of the node whose broker it is; SIGHUP reads it again, with the policy in it.

    Raises:
        SylviteError: it could not start; nothing was changed.
    """
    secure_process()
    if configuration is not None:
        log_as(configuration)
        if not configuration.is_part:
            report(configuration.loaded)
    else:
        begin(options.logging)
    try:
        return run(_serve(options, beside, configuration))
    except MemoryError:
        logger.error("%s", NO_MEMORY)
        return EXIT_INTERNAL


def _log_folder(options: BrokerOptions) -> Path:
    return options.log_folder or options.folder / "log"


def _socket(options: BrokerOptions) -> Path:
    return options.socket or options.folder / SOCKET


def _secure_places(options: BrokerOptions) -> None:
    """Raises InvalidSetting: somebody else could put his own in the place of a file of ours."""
    if options.config is not None:
        check_file(options.config, "config")
    secure_folder(options.folder, "folder")
    secure_folder(_log_folder(options), "log folder")
    secure_folder(_socket(options).parent, "socket")


def _open(options: BrokerOptions) -> EventLog:
    folder = _log_folder(options)
    storage = DiskStorage(folder)
    try:
        return EventLog(
            storage, options.settings.log, now_ns=SystemClock().now_ns(), accept_loss=options.accept_loss
        )  # fmt: skip
    except OSError as error:
        raise InvalidSetting("log folder", str(folder), f"cannot be used: {error.strerror}") from error


def _limit_connections(settings: BrokerSettings) -> BrokerSettings:
    """Raise the limit of open files as far as the system lets us, and take no more connections than it allows.

    The log must never be the one that finds no descriptor left.
    """
    wanted = settings.limits.connections + FILES_APART
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted and soft < hard:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft >= wanted:
        return settings
    connections = max(soft - FILES_APART, soft // 2)
    logger.warning("at most %d connections: the system lets this process open %d files", connections, soft)
    limits = msgspec.structs.replace(settings.limits, connections=connections)
    return msgspec.structs.replace(settings, limits=limits)


async def _listen(server: Server, options: BrokerOptions) -> None:
    path = _socket(options)
    if is_tcp(path):
        await server.listen_tcp("127.0.0.1", 0, path)
    else:
        open_to_others = server.broker.policy.is_open_to_others
        mode = options.socket_mode if options.socket_mode is not None else (0o666 if open_to_others else 0o600)
        await server.listen_unix(path, mode)
    if options.tcp is not None:
        port = await server.listen_tcp(*options.tcp, options.folder / TCP_FILE)
        logger.info("listening on %s port %d", options.tcp[0], port)


async def _serve(options: BrokerOptions, beside: Beside, configuration: Configuration[Any] | None) -> int:
    _secure_places(options)
    settings = _limit_connections(options.settings)
    log = _open(options)
    for note in log.notes:
        logger.warning("log %s: %s", note.kind, ", ".join(f"{name}={value}" for name, value in note.facts.items()))
    log_folder = str(_log_folder(options).resolve())

    def make(wanted: Callable[[], None], failed: Callable[[SylviteError], None]) -> Broker:
        return Broker(
            log, settings, SystemClock(), name=f"broker:{os.getpid()}", log_folder=log_folder, wanted=wanted,
            failed=failed,
        )  # fmt: skip

    server = Server(make)
    socket_path = _socket(options)
    try:
        await _listen(server, options)
        _on_signals(server, options, configuration)
        logger.info("listening on %s; the log holds @%d to @%d", socket_path, log.oldest, log.end)
        async with beside(socket_path):
            say_ready(options.ready_fd)
            await server.stopping.wait()
            notify("STOPPING=1")
        logger.info("stopping")
    finally:
        await server.stop()
    if server.failure is not None:
        logger.error("%s", server.failure)
        return EXIT_DISK_FAILED if isinstance(server.failure, LogFailed) else EXIT_INTERNAL
    logger.info("stopped; the log ends before @%d", log.end)
    return 0


def _on_signals(server: Server, options: BrokerOptions, configuration: Configuration[Any] | None) -> None:
    told = False

    def stop() -> None:
        nonlocal told
        if told:
            logger.warning("told twice: stopping at once")
            os._exit(130)  # Safe at any instant: the log needs no clean-up to be whole.
        told = True
        server.stopping.set()

    if configuration is None:
        on_signals(stop, _ReadAgain(server, options))
    else:
        configuration.on_change(lambda node: _take_over(server, options_of(node)))
        on_signals(stop, configuration.reload)


def _take_over(server: Server, changed: BrokerOptions) -> None:
    """Take over of what was read again what counts at once.  Raises InvalidInput."""
    server.broker.replication.change(is_there=changed.settings.has_cluster)
    server.broker.change_policy(changed.settings.policy)


class _ReadAgain:
    """What SIGHUP does to a broker that is alone: the policy in its file is taken over."""

    def __init__(self, server: Server, options: BrokerOptions) -> None:
        self._server, self._path, self._said = server, options.config, options.config_says

    def __call__(self) -> None:
        if self._path is None:
            logger.info("nothing to read again: started without --config")
            return
        try:
            check_file(self._path, "config")
            settings = read_config(self._path, BrokerSettings)
            self._server.broker.change_policy(settings.policy)
        except SylviteError as error:
            logger.error("the configuration stays as it was: %s", error)
            return
        logger.info("policy read again from %s", self._path)
        for name in broker_wants_start(self._said, settings):
            logger.warning("%s has changed, and counts from the next start on", name)
        self._said = settings
