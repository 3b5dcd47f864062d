"""Facts of the nodes of this machine, for `sylvite status` and `sylvite doctor`: who is connected, what waits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sylvite.cli.connect import CONFIGURED
from sylvite.client.sync_client import Client
from sylvite.errors import SylviteError

if TYPE_CHECKING:
    from sylvite.daemons.options.master import MasterOptions
    from sylvite.daemons.options.minion import MinionOptions
    from sylvite.daemons.options.reading import Loaded

KEYS = "keys"
UPLINK = "uplink"
WAITING_MAX = 10_000
"""So many events of the outbox are counted."""
WRONG_MASTER_SINCE = "2h"
"""As long as it is met, it is told of each hour."""


class MasterFacts(msgspec.Struct, frozen=True):
    """`away`: accepted minions that are not connected.  `not_announced`: changes of keys whose event is due."""

    connected: list[str]
    away: list[str]
    waiting: list[str]
    denied: list[str]
    not_announced: int


class MinionFacts(msgspec.Struct, frozen=True):
    """`waiting`: events that the master does not have yet.  `wrong_master`: what was told last of one that is not trusted.

    None where a trusted one has let the minion in since.
    """

    waiting: int
    wrong_master: dict[str, Any] | None = None


def load_nodes() -> tuple[Loaded[MasterOptions] | None, Loaded[MinionOptions] | None]:
    """Return the configurations of the master and of the minion of this machine; None where there is none."""
    from sylvite.daemons.options.reading import is_there, load_master, load_minion

    def is_here(loaded: Loaded[Any]) -> bool:
        # One that was never configured has left its data at the usual place.
        is_usual = not any(map(os.environ.get, CONFIGURED)) and is_there(loaded.options.data_dir)
        return bool(loaded.errors) or is_there(loaded.main) or is_usual

    master, minion = load_master(), load_minion()
    return (master if is_here(master) else None), (minion if is_here(minion) else None)


def master_facts(options: MasterOptions) -> MasterFacts:
    """Raises SylviteError: its keys or its file of minions cannot be read, or it was never started."""
    from sylvite.auth.keyring import Keyring
    from sylvite.auth.keyring_values import State
    from sylvite.jobs.known_minions import read_known
    from sylvite.jobs.minions import FILE

    with Keyring.open(options.data_dir / KEYS) as keyring:
        keys, due = keyring.all_keys(), keyring.due_count()
    ids = {state: [str(key.id) for key in keys if key.state is state] for state in State}
    connected: list[str] = []
    if (options.data_dir / FILE).exists():
        with read_known(options.data_dir / FILE) as minions:
            connected = minions.present()
    away = [id_ for id_ in ids[State.ACCEPTED] if id_ not in set(connected)]
    return MasterFacts(connected, away, ids[State.PENDING], ids[State.DENIED], due)


def minion_facts(bus: Client, minion: str) -> MinionFacts:
    """Return what its bus says.  Raises SylviteError."""
    return MinionFacts(_waiting(bus), _wrong_master(bus, minion))


def _waiting(bus: Client) -> int:
    from sylvite.core.known_tags import BEACONS, OUTBOX, RETURN

    cursors = [cursor for cursor in bus.ask("cursors")["cursors"] if cursor["name"] == UPLINK]
    if not cursors:
        return 0
    count = 0
    with bus.subscribe(exact=(OUTBOX, RETURN, BEACONS), since=int(cursors[0]["offset"]), until_end=True) as outbox:
        for _ in outbox:
            count += 1
            if count >= WAITING_MAX:
                break
    return count


def _wrong_master(bus: Client, minion: str) -> dict[str, Any] | None:
    from sylvite.core.known_tags import OUTBOX
    from sylvite.link.strangers import TAG

    with bus.subscribe(exact=TAG.format(minion), since=WRONG_MASTER_SINCE, until_end=True) as told:
        events = list(told)
    if not events:
        return None
    let_in = f"data.tag == 'salt/minion/{minion}/start'"
    with bus.subscribe(exact=OUTBOX, where=let_in, since=events[-1].offset, until_end=True) as since:
        return None if any(True for _ in since) else events[-1].data


def facts_of_bus(bus: Client, log_folder: str) -> dict[str, Any]:
    """Return the facts of the node whose bus this is, as a map; empty where it is a broker alone, or nothing can be read."""
    try:
        master, minion = load_nodes()
        if master is not None and of_log(master, log_folder):
            return {"master": msgspec.to_builtins(master_facts(master.options))}
        if minion is not None and of_log(minion, log_folder):
            return {"minion": msgspec.to_builtins(minion_facts(bus, minion.options.id))}
    except SylviteError:
        return {}  # `sylvite doctor` says what is wrong; here the bus alone is looked at.
    return {}


def of_log(loaded: Loaded[Any], log_folder: str) -> bool:
    """Say whether the bus with this log is that of the node."""
    return not loaded.errors and Path(log_folder) == (loaded.options.data_dir / "log").resolve()
