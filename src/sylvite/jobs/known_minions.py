"""KnownMinions: what is known of the minions of all masters: of this one's, as its link says, and of the others', as the bridge does.

A minion is connected to one master at a time.  Of two that say that it is with them, one has not noticed yet that it has gone:
it is here, once, and with the one that it came to last.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from sylvite.core.event import unpack_data
from sylvite.jobs import others as others_file
from sylvite.jobs.minions import MinionReader, MinionRecord, read_minions
from sylvite.jobs.others import OthersReader, read_others

SILENT_NS = 30_000_000_000
"""For so long what the bridge has written last counts: where nobody brings news, nobody is known to be elsewhere."""
NO_BRIDGE = "the bridge to its master is silent"


def merge(records: Iterable[MinionRecord]) -> dict[str, MinionRecord]:
    """Return one record for each minion, by id, sorted: where it is, or else where it was last."""
    found: dict[str, MinionRecord] = {}
    for record in records:
        former = found.get(record.id)
        if former is None or _rank(record) > _rank(former):
            found[record.id] = record
    return dict(sorted(found.items()))


def _rank(record: MinionRecord) -> tuple[bool, int]:
    moment_ns = record.connected_since_ns if record.is_present else record.left_ns
    return record.is_present, moment_ns or 0


def as_left(record: MinionRecord, reason: str, now_ns: int) -> MinionRecord:
    """Return the record of a minion whose master is not heard of: for all that we know it is not here."""
    return msgspec.structs.replace(record, left_ns=now_ns, reason=reason) if record.is_present else record


class KnownMinions:
    """Looks minions up.  Every call may raise JobStoreFailed.  One thread at a time."""

    def __init__(self, own: MinionReader, others: OthersReader | None) -> None:
        self._own, self._others = own, others

    def records(self) -> list[MinionRecord]:
        """Return what is known of each; sorted by id."""
        return list(merge([*self._own.records(), *self._records_of_others()]).values())

    def present(self) -> list[str]:
        """Return the ids of those that are here, with whichever master; sorted."""
        elsewhere = {record.id for record in self._records_of_others() if record.is_present}
        return sorted(elsewhere.union(self._own.present()))

    def grains(self) -> dict[str, dict[str, Any]]:
        """Return the grains of those that have sent any, by id; of those who have sent some to several masters, the latest."""
        if self._others is None:
            return self._own.grains()
        latest = _latest([*self._own.packed_grains(), *self._others.packed_grains()])
        return {minion: unpack_data(packed) for minion, (_, packed) in sorted(latest.items())}

    def grains_of(self, minion_id: str) -> dict[str, Any]:
        """Return the grains of one minion; empty where it has sent none."""
        own = self._own.packed_grains_of(minion_id)
        said = [] if own is None else [(minion_id, *own)]
        latest = _latest([*said, *(self._others.packed_grains(minion_id) if self._others else ())])
        return unpack_data(latest[minion_id][1]) if minion_id in latest else {}

    def asks(self, node: str) -> bool:
        """Say whether this master, of this name, is the one that asks minions for all: the first of those that are here."""
        if self._others is None or self._is_silent():
            return True
        return all(node < other for other in self._others.masters())

    def close(self) -> None:
        self._own.close()
        if self._others is not None:
            self._others.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _records_of_others(self) -> list[MinionRecord]:
        if self._others is None:
            return []
        records = self._others.records()
        if not self._is_silent():
            return records
        now_ns = time.time_ns()
        return [as_left(record, NO_BRIDGE, now_ns) for record in records]

    def _is_silent(self) -> bool:
        return self._others is not None and time.time_ns() - self._others.beat_ns() > SILENT_NS


def _latest(said: Iterable[tuple[str, int, bytes]]) -> Mapping[str, tuple[int, bytes]]:
    found: dict[str, tuple[int, bytes]] = {}
    for minion, at_ns, packed in said:
        if minion not in found or at_ns > found[minion][0]:
            found[minion] = at_ns, packed
    return found


def read_known(path: Path) -> KnownMinions:
    """Open `minions.db`, and where there is one `others.db` beside it, beside the processes that write to them.

    Raises:
        JobStoreFailed: there is no `minions.db`, or one of them cannot be used.
    """
    own = read_minions(path)
    try:
        beside = path.with_name(others_file.FILE)
        return KnownMinions(own, read_others(beside) if beside.exists() else None)
    except BaseException:
        own.close()
        raise
