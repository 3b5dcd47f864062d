"""The link of a master, as a process of its own: the port that minions connect to."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.precautions import secure_process
from sylvite.daemons.process import log_as, on_signals, run, say_ready
from sylvite.daemons.systemd import notify
from sylvite.errors import InvalidSetting
from sylvite.link.gatekeeper import Gatekeeper, announce_due
from sylvite.link.master_end import MasterEnd

KEYS = "keys"
logger = logging.getLogger("sylvite.link")


def main(configuration: Configuration[MasterOptions], socket: Path, *, ready_fd: int | None = None) -> int:
    """Let minions in until SIGTERM or SIGINT; return the exit code.  `socket`: of the bus that it serves.

    Raises:
        SylviteError: it could not start: no bus, no keys, no port.
    """
    secure_process()
    log_as(configuration)
    return run(_serve(configuration, socket, ready_fd))


async def _serve(configuration: Configuration[MasterOptions], socket: Path, ready_fd: int | None) -> int:
    options, keys = configuration.options, configuration.options.data_dir / KEYS
    stopping = asyncio.Event()
    on_signals(stopping.set, configuration.reload)
    with KeyFolder(keys, make=True) as folder:
        pair, _ = load_or_make_pair(folder, "master")
    with Keyring.open(keys, make=True) as keyring:
        async with AsyncClient.connect(socket, name="link") as bus:
            announce = partial(announce_due, keys, str(socket))
            end = MasterEnd(
                bus, Gatekeeper(keyring), announce, pair, name=options.id, auth_events=options.auth_events
            )  # fmt: skip
            try:
                port = await _started(end, options)
                logger.info(
                    "minions are awaited on %s port %d; this master has the key %s",
                    options.interface,
                    port,
                    pair.fingerprint,
                )
                say_ready(ready_fd, str(port))
                await stopping.wait()
                notify("STOPPING=1")
            finally:
                await end.stop()
    return 0


async def _started(end: MasterEnd, options: MasterOptions) -> int:
    try:
        return await end.start(options.interface, options.ret_port)
    except OSError as error:
        where = f"{options.interface} port {options.ret_port}"
        raise InvalidSetting("listen", where, f"cannot be listened on: {error.strerror}") from error
