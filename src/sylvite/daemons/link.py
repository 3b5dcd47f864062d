"""The link of a master, as a process of its own: the port that minions connect to."""

from __future__ import annotations

import asyncio
import logging
import signal
from functools import partial
from pathlib import Path

import msgspec

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.daemons.precautions import secure_process
from sylvite.daemons.process import log_to_stderr, run, say_ready
from sylvite.daemons.systemd import notify
from sylvite.errors import InvalidSetting
from sylvite.link.gatekeeper import Gatekeeper, announce_due
from sylvite.link.master_end import MasterEnd

logger = logging.getLogger("sylvite.link")


class LinkOptions(msgspec.Struct, frozen=True):
    """`keys`: the folder of the keys, the master's own among them; `name`: what minions are told."""

    socket: Path
    keys: Path
    host: str
    port: int
    name: str
    auth_events: bool = True
    ready_fd: int | None = None


def main(options: LinkOptions) -> int:
    """Let minions in until SIGTERM or SIGINT; return the exit code.

    Raises:
        SylviteError: it could not start: no bus, no keys, no port.
    """
    secure_process()
    log_to_stderr()
    return run(_serve(options))


async def _serve(options: LinkOptions) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with KeyFolder(options.keys, make=True) as folder:
        pair, _ = load_or_make_pair(folder, "master")
    with Keyring.open(options.keys, make=True) as keyring:
        async with AsyncClient.connect(options.socket, name="link") as bus:
            announce = partial(announce_due, options.keys, str(options.socket))
            end = MasterEnd(
                bus, Gatekeeper(keyring), announce, pair, name=options.name, auth_events=options.auth_events
            )  # fmt: skip
            try:
                port = await _started(end, options)
                logger.info(
                    "minions are awaited on %s port %d; this master has the key %s",
                    options.host,
                    port,
                    pair.fingerprint,
                )
                say_ready(options.ready_fd, str(port))
                await stopping.wait()
                notify("STOPPING=1")
            finally:
                await end.stop()
    return 0


async def _started(end: MasterEnd, options: LinkOptions) -> int:
    try:
        return await end.start(options.host, options.port)
    except OSError as error:
        where = f"{options.host} port {options.port}"
        raise InvalidSetting("listen", where, f"cannot be listened on: {error.strerror}") from error
