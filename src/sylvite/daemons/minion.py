"""A minion: its broker, and beside it, in the same process, the link to its master."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import msgspec

from sylvite.auth.enrolment import TOKEN_CHARACTERS_MAX, Token, parse_token
from sylvite.daemons import broker
from sylvite.daemons.beacons import running_beacons
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.jobs import running_jobs
from sylvite.daemons.options.computing import keep_id
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.precautions import check_file
from sylvite.daemons.uplink import Uplink
from sylvite.errors import InvalidSetting

logger = logging.getLogger("sylvite.minion")


class Start(msgspec.Struct, frozen=True):
    """What a start is told beside the options.  `token`: lets the minion in at its first time."""

    token: Token | None = None
    trust_first: bool = False
    ready_fd: int | None = None


def read_token(path: Path) -> Token:
    """Return the token in a file.

    Raises:
        InvalidSetting: it cannot be read, or others may write it.  BadToken: it is none.
    """
    check_file(path, "token")
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return parse_token(file.read(TOKEN_CHARACTERS_MAX + 1))
    except OSError as error:
        raise InvalidSetting("token", str(path), f"cannot be read: {error.strerror}") from error


Beside = Callable[[MinionOptions, Path], AbstractAsyncContextManager[None]]
"""What else runs in the same process, in front of the bus whose socket it is given."""


def _nothing(options: MinionOptions, socket: Path) -> AbstractAsyncContextManager[None]:
    del options, socket
    return nullcontext()


def main(configuration: Configuration[MinionOptions], start: Start, beside: Beside = _nothing) -> int:
    """Run a minion until SIGTERM or SIGINT; return the exit code.

    Raises:
        SylviteError: it could not start.
        NotAccepted: its key was rejected, and it does not ask again.
    """
    if "id" in configuration.loaded.computed:
        _keep_id(configuration)
    told = broker.options_of(configuration.options, start.ready_fd)
    uplink = Uplink(configuration, start.token, trust_first=start.trust_first)
    code = broker.main(told, lambda socket: _beside(configuration, uplink, socket, beside), configuration)
    if uplink.given_up is not None:
        raise uplink.given_up
    return code


def _keep_id(configuration: Configuration[MinionOptions]) -> None:
    """Its key and its events bear the id: it stays the same when the machine is called otherwise."""
    try:
        keep_id(configuration.loaded.main.parent, configuration.options.id)
    except OSError as error:
        logger.warning(
            "the id %s cannot be kept beside %s, and changes with the name of the machine; set `id` there: %s",
            configuration.options.id, configuration.loaded.main, error.strerror,
        )  # fmt: skip


@asynccontextmanager
async def _beside(
    configuration: Configuration[MinionOptions], uplink: Uplink, socket: Path, beside: Beside
) -> AsyncGenerator[None]:
    # Jobs are taken before the master can send any.
    async with (
        beside(configuration.options, socket),
        running_jobs(configuration, socket),
        running_beacons(configuration, socket),
        uplink.running(socket),
    ):
        yield
