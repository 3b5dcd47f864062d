"""Running Salt's sockets: as a process beside a broker, which may be a part of a master, or within a minion."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from sylvite.compat.endpoints import Endpoints, TcpEndpoints, master_endpoints, minion_endpoints
from sylvite.compat.frames import Framing
from sylvite.compat.sockets import SaltSockets, salt_sockets
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.precautions import secure_folder, secure_process
from sylvite.daemons.process import log_as, on_signals, run, say_ready
from sylvite.errors import AddressInUse, InvalidSetting

AGAIN_S = 30.0
logger = logging.getLogger("sylvite.salt")


class Served(msgspec.Struct, frozen=True):
    """What is served, and in front of which bus."""

    bus: Path
    endpoints: Endpoints
    framing: Framing = "stream"


def endpoints_of(options: MasterOptions | MinionOptions) -> Endpoints:
    """Return where Salt's sockets of a node are."""
    if options.ipc_mode == "tcp":
        if isinstance(options, MasterOptions):
            return TcpEndpoints(options.tcp_master_pub_port, options.tcp_master_pull_port)
        return TcpEndpoints(options.tcp_pub_port, options.tcp_pull_port)
    if isinstance(options, MasterOptions):
        return master_endpoints(options.sock_dir)
    return minion_endpoints(options.sock_dir, options.id, options.hash_type)


def main(configuration: Configuration[MasterOptions], served: Served, *, ready_fd: int | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    Raises:
        SylviteError: it could not start: a socket cannot be put there.
    """
    secure_process()
    log_as(configuration)
    return run(_serve(configuration, served, ready_fd))


async def _serve(configuration: Configuration[MasterOptions], served: Served, ready_fd: int | None) -> int:
    stopping = asyncio.Event()
    on_signals(stopping.set, configuration.reload)
    waiting: int | None = ready_fd
    while not stopping.is_set():
        try:
            if not isinstance(served.endpoints, TcpEndpoints):
                secure_folder(served.endpoints.pub.parent, "sock_dir")
            async with salt_sockets(served.bus, served.endpoints, served.framing) as sockets:
                _tell(served, sockets)
                say_ready(waiting, " ".join(map(str, sockets.ports)) or "ready")
                await stopping.wait()
        except (AddressInUse, InvalidSetting) as error:
            if not configuration.is_part:
                raise
            # A master is there without them too.
            logger.error("programs of Salt's cannot attach: %s; it is tried again in %g s", error, AGAIN_S)
            if waiting is not None:
                say_ready(waiting)
                waiting = None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), AGAIN_S)
    return 0


def _tell(served: Served, sockets: SaltSockets) -> None:
    if sockets.ports:
        logger.info("programs of Salt's attach on the loopback: ports %s", ", ".join(map(str, sockets.ports)))
    elif not isinstance(served.endpoints, TcpEndpoints):
        logger.info("programs of Salt's attach to %s and %s", served.endpoints.pub, served.endpoints.pull.name)


@contextlib.asynccontextmanager
async def minion_sockets(options: MinionOptions, bus: Path) -> AsyncGenerator[None]:
    """Serve Salt's sockets within a minion, if it is to; where they cannot be put there, it runs without them."""
    async with contextlib.AsyncExitStack() as stack:
        if options.salt_sockets:
            try:
                served = Served(bus, endpoints_of(options), options.salt_socket_framing)
                _tell(served, await stack.enter_async_context(salt_sockets(bus, served.endpoints, served.framing)))
            except (InvalidSetting, AddressInUse) as error:
                logger.warning("programs of Salt's cannot attach: %s", error)
        yield
