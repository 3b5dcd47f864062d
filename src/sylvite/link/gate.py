"""Gate: a gatekeeper in a thread of its own, so that no session waits for the disk of the keyring."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sylvite.auth.enrolment import Asking
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import Identity
from sylvite.auth.keys import PublicKey
from sylvite.link.gatekeeper import Gatekeeper, announce_due
from sylvite.link.master_keys import Found, MasterKeys
from sylvite.link.minion_session import Judgement

P = ParamSpec("P")
R = TypeVar("R")


class Gate:
    """Made by `Gate.open`, and closed at the end.  Every call may raise KeyringFailed, KeyringBusy or NotUnderstood."""

    def __init__(self, keys: Path, socket: str) -> None:
        self._keys, self._socket = keys, socket
        self._thread = ThreadPoolExecutor(1, "gate")
        self._keyring: Keyring
        self._keeper: Gatekeeper
        self._master_keys = MasterKeys(keys)

    @classmethod
    async def open(cls, keys: Path, socket: str) -> Gate:
        """`keys`: the folder of the keyring; `socket`: of the bus where changes of keys are announced.

        Raises:
            InvalidSetting, KeyringFailed, KeyringNotUnderstood
        """
        gate = cls(keys, socket)
        try:
            await gate._do(gate._open)
        except BaseException:
            gate._thread.shutdown()
            raise
        return gate

    def _open(self) -> None:
        self._keyring = Keyring.open(self._keys, make=True)
        try:
            self._keeper = Gatekeeper(self._keyring)
        except BaseException:
            self._keyring.close()
            raise

    async def close(self) -> None:
        await self._do(self._keyring.close)
        self._thread.shutdown()

    async def judge(self, asking: Asking, address: str) -> tuple[Judgement, dict[str, Any]]:
        return await self._do(self._keeper.judge, asking, address)

    async def offer(self, identity: Identity, successor: PublicKey) -> str:
        return await self._do(self._keeper.offer, identity, successor)

    async def ended(self, identities: Sequence[Identity]) -> list[Identity]:
        return await self._do(self._keeper.ended, identities)

    async def new_holders(self, *, again: bool) -> frozenset[str] | None:
        return await self._do(self._keeper.new_holders, again=again)

    async def is_due(self) -> bool:
        return await self._do(self._keeper.is_due)

    async def master_keys(self) -> Found:
        """Return the master's pair, and its word on the next one.  Raises InvalidSetting, BadEnrolment, KeyringBusy."""
        return await self._do(self._master_keys.look)

    async def announce(self) -> None:
        """Publish the events of keys that are due; what was accepted counts from then on.  Raises SylviteError."""
        await asyncio.to_thread(announce_due, self._keys, self._socket)

    async def _do(self, call: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        work = partial(call, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
