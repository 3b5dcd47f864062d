"""The link of a master, as a process of its own: the port that minions connect to."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
from contextlib import AsyncExitStack
from pathlib import Path

from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair
from sylvite.client.async_client import AsyncClient
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.precautions import secure_process
from sylvite.daemons.process import log_as, on_signals, run, say_ready
from sylvite.daemons.systemd import notify
from sylvite.errors import InvalidSetting
from sylvite.jobs.minions import FILE
from sylvite.link.gate import Gate
from sylvite.link.herald import Herald
from sylvite.link.master_end import MasterEnd
from sylvite.link.roll import Roll
from sylvite.link.settings import LinkSettings

FILES_APART = 128
"""Descriptors that the link needs beside its connections."""
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
    options = configuration.options
    stopping = asyncio.Event()
    on_signals(stopping.set, configuration.reload)
    async with AsyncExitStack() as stack:
        gate = await Gate.open(options.data_dir / KEYS, str(socket))
        stack.push_async_callback(gate.close)
        with KeyFolder(options.data_dir / KEYS, make=True) as folder:
            pair, _ = load_or_make_pair(folder, "master")
        bus = await stack.enter_async_context(AsyncClient.connect(socket, name="link"))
        settings, herald = _settings(options), Herald(bus)
        roll = await Roll.open(options.data_dir / FILE, herald, settings)
        stack.push_async_callback(roll.close)
        end = MasterEnd(bus, gate, pair, settings, herald=herald, roll=roll)
        stack.push_async_callback(end.stop)
        configuration.on_change(lambda changed: end.configure(_settings(changed)))
        port = await _started(end, options)
        logger.info(
            "minions are awaited on %s port %d; this master has the key %s", options.interface, port, pair.fingerprint
        )
        # What is there by now stays. The collector, for which all minions wait, has not to go through it each time.
        gc.collect()
        gc.freeze()
        say_ready(ready_fd, str(port))
        await stopping.wait()
        notify("STOPPING=1")
    return 0


def _settings(options: MasterOptions) -> LinkSettings:
    connections = LinkSettings().connections_max
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES_APART
    if soft < wanted and soft < hard:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < wanted:
        connections = max(soft - FILES_APART, soft // 2)
        logger.warning("at most %d minions: the system lets this process open %d files", connections, soft)
    return LinkSettings(
        name=options.id,
        auth_events=options.auth_events,
        # In a cluster the bridge of one master tells it, for all.
        presence_events=options.presence_events and not options.cluster,
        loop_interval_s=options.loop_interval_s,
        max_minions=options.max_minions,
        unique_jid=options.unique_jid,
        minion_data_cache=options.minion_data_cache,
        minion_data_cache_events=options.minion_data_cache_events,
        connections_max=connections,
        job_wait_s=options.timeout_s + options.gather_job_timeout_s,
    )


async def _started(end: MasterEnd, options: MasterOptions) -> int:
    try:
        return await end.start(options.interface, options.ret_port)
    except OSError as error:
        where = f"{options.interface} port {options.ret_port}"
        raise InvalidSetting("listen", where, f"cannot be listened on: {error.strerror}") from error
