"""Bridge: this master's log into the stream, and the others' out of it into the log.  An ordinary client of the broker.

What connects the two is the log: it is what waits while the servers are away, and it says how far it has everybody's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping

from sylvite.client.async_client import AsyncClient
from sylvite.cluster.audit import Audit, Other
from sylvite.cluster.claim import Claiming, of_this_process
from sylvite.cluster.connection import Connection
from sylvite.cluster.down import Down
from sylvite.cluster.ending import first_to_end
from sylvite.cluster.settings import ClusterSettings, join_servers
from sylvite.cluster.sharing import Share, share_all
from sylvite.cluster.stream import Stream, check_node
from sylvite.cluster.telling import Telling
from sylvite.cluster.up import Up, first_to_send
from sylvite.errors import ClusterError, ClusterUnreachable, InvalidSetting, NameTaken, SylviteError

PAUSE_S = (0.25, 1.0)
STEADY_S = 10.0
"""What has held for so long is tried again soon."""
SAY_S = 1.0
CLOSE_S = 5.0
OPEN_S = 15.0
logger = logging.getLogger("sylvite.cluster")


class Bridge:
    """`node`: the name of this master among the others."""

    def __init__(
        self,
        bus: AsyncClient,
        settings: ClusterSettings,
        node: str,
        sharing: Mapping[str, Share] | None = None,
        *,
        key: str = "",
    ) -> None:
        """`sharing`: what is shared with other masters beside the log.  `key`: the fingerprint of this master's key, for others
        to compare theirs."""
        self._bus, self._settings, self._node = bus, settings, check_node(node)
        self._sharing = sharing or {}
        self._claim = of_this_process(key)
        self._telling = Telling(bus)
        self._lost_s: float | None = None
        self._is_cut_off = False
        self._others: dict[str, Other] = {}
        self._stream_id = 0

    async def run(self) -> None:
        """Bridge until it is cancelled; where the servers are away, wait for them.

        Raises:
            InvalidSetting: credentials or certificates cannot be used.
            NameTaken: another master has this one's name.
        """
        telling = asyncio.create_task(self._telling.run(), name="cluster: events")
        pause_s = PAUSE_S[0]
        try:
            while True:
                began_s = time.monotonic()
                try:
                    connection = await self._connect()
                    try:
                        await self._session(connection)
                    finally:
                        await _within(CLOSE_S, connection.close(), "closing the connection")
                except InvalidSetting:
                    raise
                except NameTaken as error:
                    self._telling.tell(error.code, node=self._node, reason=error.reason)
                    await _within(CLOSE_S, self._telling.finish(), "telling it")
                    raise
                except (SylviteError, OSError) as error:
                    self._lost(error)
                except Exception as error:
                    # A connection that breaks in the middle of a write shows in several ways, by the loop that runs.
                    logger.exception("the connection to the cluster has failed")
                    self._lost(error)
                pause_s = PAUSE_S[0] if time.monotonic() - began_s > STEADY_S else min(2 * pause_s, PAUSE_S[1])
                await asyncio.sleep(pause_s)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _connect(self) -> Connection:
        opening = asyncio.create_task(Connection.open(self._settings, name=f"sylvite {self._node}"))
        await _within(OPEN_S, opening, "connecting")
        if not opening.done() or opening.cancelled():
            raise ClusterUnreachable(join_servers(self._settings.servers), "connecting does not end")
        return opening.result()

    def _lost(self, error: Exception) -> None:
        """Note it; tell it, unless another server takes us at the first try."""
        if self._lost_s is None:
            self._lost_s = time.monotonic()
            logger.info("from one server to another: %s", error)
        else:
            self._is_cut_off = True
            self._telling.tell("cut_off", node=self._node, reason=str(error))

    def _is_back(self) -> None:
        if self._lost_s is not None and self._is_cut_off:
            self._telling.tell("back", node=self._node, after_s=round(time.monotonic() - self._lost_s, 1))
        self._lost_s, self._is_cut_off = None, False

    async def _session(self, connection: Connection) -> None:
        stream = Stream(connection, self._node)
        state = await stream.open()
        claiming = Claiming(connection, self._node, self._claim, self._note_rival)
        await claiming.take()
        since: int | None = None
        if state.is_new or self._stream_id not in (0, state.id):
            since = await first_to_send(self._bus, self._settings)
            if self._stream_id:
                self._telling.tell("reseeded", node=self._node, first=since, reason="the stream was made anew")
        self._stream_id = state.id
        up, down = Up(self._bus, stream, self._telling, since), Down(self._bus, stream, self._telling)
        audit = Audit(self._bus, stream, up, down, self._telling, state, self._others)
        self._is_back()
        try:
            await first_to_end(
                up.run(),
                down.run(),
                audit.run(),
                claiming.keep(),
                self._keep_saying(up),
                connection.lost.wait(),
                share_all(connection, self._node, self._sharing),
                name="cluster: a session of the bridge",
            )
            raise ClusterError("the connection was lost")
        except asyncio.CancelledError:
            await audit.leave()
            await claiming.release()
            raise

    def _note_rival(self, where: str) -> None:
        self._telling.tell("rival", where, node=self._node, where=where)

    async def _keep_saying(self, up: Up) -> None:
        while True:
            up.say()
            await asyncio.sleep(SAY_S)


async def _within(seconds: float, work: Awaitable[object], what: str) -> None:
    """Wait for an end, but not for ever: what is left of a connection that broke must not keep the next one away."""
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait((task,), timeout=seconds)
    if not done:
        # Not waited for: what takes no notice of its end would keep us, too.
        task.cancel()
        logger.error("%s takes too long, and is left alone", what)
    elif not task.cancelled() and (error := task.exception()) is not None:
        logger.debug("%s: %r", what, error)
