"""The bridge of a master to the others of its cluster, as a process of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from sylvite.auth.keyring_folder import KeyFolder, load_public, public_name
from sylvite.client.async_client import AsyncClient
from sylvite.cluster.bridge import Bridge
from sylvite.cluster.ending import end_all
from sylvite.cluster.keys import Keys
from sylvite.cluster.master_key import MasterKey
from sylvite.cluster.settings import join_servers
from sylvite.cluster.sharing import Share
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.precautions import secure_process
from sylvite.daemons.process import log_as, on_signals, run, say_ready
from sylvite.daemons.shared_minions import sharing_minions
from sylvite.daemons.shared_presence import SharedPresence
from sylvite.daemons.systemd import notify
from sylvite.errors import InvalidSetting

KEYS, MASTER = "keys", "master"
END_S = 3.0
"""A bridge has its goodbyes to say."""
logger = logging.getLogger("sylvite.cluster")


def main(
    configuration: Configuration[MasterOptions],
    socket: Path,
    sharing: Mapping[str, Share] | None = None,
    *,
    ready_fd: int | None = None,
) -> int:
    """Bridge until SIGTERM or SIGINT; return the exit code.

    `socket`: of the bus of this master.  `sharing`: what is shared besides, of layers above this one.

    Raises:
        SylviteError: it could not start: no cluster is named, no bus, no credentials.
    """
    secure_process()
    log_as(configuration)
    return run(_serve(configuration, socket, sharing or {}, ready_fd))


async def _serve(
    configuration: Configuration[MasterOptions], socket: Path, more: Mapping[str, Share], ready_fd: int | None
) -> int:
    options = configuration.options
    settings = options.cluster
    if not settings:
        raise InvalidSetting("cluster", "", "names no servers of NATS: there is nothing to bridge to")
    stopping = asyncio.Event()
    on_signals(stopping.set, configuration.reload)
    node = settings.node or options.id
    async with AsyncClient.connect(socket, name="cluster") as bus, sharing_minions(options.data_dir, node) as minions:
        presence = SharedPresence(bus, configuration, minions)
        sharing = {
            "keys": Keys(options.data_dir / KEYS).share,
            "key of this master": MasterKey(bus, lambda: key_of(options)).share,
            "minions": minions.share,
            "presence": presence.share,
            **more,
        }
        bridge = Bridge(bus, settings, node, sharing, key=key_of(options))
        running = asyncio.create_task(bridge.run(), name="cluster: bridge")
        logger.info("bridging to %s", join_servers(settings.servers))
        say_ready(ready_fd)
        waiting = asyncio.create_task(stopping.wait(), name="cluster: signals")
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        await end_all((running, waiting), again_s=END_S)
        if running.done() and not running.cancelled() and (error := running.exception()) is not None:
            raise error
    return 0


def key_of(options: MasterOptions) -> str:
    """Return the fingerprint of the key that minions know this master by; empty where the link has not made it yet."""
    try:
        with KeyFolder(options.data_dir / KEYS) as folder:
            return load_public(folder, MASTER).fingerprint if folder.has(public_name(MASTER)) else ""
    except InvalidSetting as error:
        logger.debug("the key of this master is not known: %s", error)
        return ""
