"""What masters tell each other of a minion's id, and what comes of two that say different things.  Pure.

Of each id there is a *record*: what was decided last, and the keys that count no more.  Whoever decides something makes the
version one higher than all that he has seen; whoever lets a key in, or takes its id away, makes the epoch higher, too.  `join`
takes the decision of the higher epoch, else of the higher version, and the keys that either bars: so in whatever order and
however often records come together, the same comes of them.  And what was done with an id for which somebody had taken the key
away meanwhile, comes to nothing, however much it was.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

State = Literal["", "accepted", "rejected", "revoked"]
"""Of an id; nothing: nobody has it.  Keys that wait are not decided upon."""
_RANK: dict[State, int] = {"accepted": 0, "": 1, "rejected": 2, "revoked": 3}
"""Of two decisions with one version the one counts that lets fewer in."""
VERSION_MAX = 2**53


class Former(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A key that has a successor, and counts until then."""

    public: bytes
    until_ns: int


class Successor(msgspec.Struct, frozen=True, array_like=True):
    """The key that a minion means to use next."""

    public: bytes
    made_ns: int


class Prepared(msgspec.Struct, frozen=True, array_like=True):
    """A one-time token, as MAC."""

    mac: bytes
    made_ns: int
    until_ns: int


class Decision(msgspec.Struct, frozen=True, array_like=True):
    """`public`: the key that it is about; nothing where nobody has the id.  `epoch`: of the id.
    `expected`: the fingerprint of a key that will be accepted.  `node`: the master where it was decided."""

    version: int
    node: str
    state: State
    public: bytes
    epoch: int
    made_ns: int
    changed_ns: int
    formers: tuple[Former, ...] = ()
    successor: Successor | None = None
    expected: str = ""
    token: Prepared | None = None

    def same_as(self, other: Decision) -> bool:
        """Say whether both say the same, whoever has decided it, and when."""
        return msgspec.structs.replace(self, version=0, node="") == msgspec.structs.replace(other, version=0, node="")


class Bar(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A key that counts no more.  `epoch`: of the id; higher than that of the key where it was revoked, the same where it
    was replaced."""

    fingerprint: str
    epoch: int
    at_ns: int


class Record(msgspec.Struct, frozen=True, array_like=True):
    decision: Decision
    bars: tuple[Bar, ...] = ()


NOTHING = Record(Decision(0, "", "", b"", 0, 0, 0))


class Conflict(NamedTuple):
    """Two masters have let different keys in for one id while they did not reach each other: `lost` is denied."""

    lost: Decision
    won: Decision


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    return _encoder.encode(record)


def decode(value: bytes) -> Record:
    """Raises ValueError: it is no record."""
    try:
        record = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no record of keys: {error}") from error
    decision = record.decision
    numbers = (decision.version, decision.epoch, *(bar.epoch for bar in record.bars))
    publics = [each.public for each in (*decision.formers, decision.successor) if each is not None]
    if not all(0 <= number < VERSION_MAX for number in numbers) or any(len(public) != 32 for public in publics):
        raise ValueError("it holds a number or a key that cannot be")
    if len(decision.public) != (32 if decision.state else 0):
        raise ValueError("it has no key, or one that nobody needs")
    return record


def join(one: Record, other: Record) -> Record:
    """Return what two records say together."""
    bars: dict[str, Bar] = {}
    for bar in (*one.bars, *other.bars):
        known = bars.get(bar.fingerprint)
        bars[bar.fingerprint] = bar if known is None else max(bar, known)
    decision = max(one.decision, other.decision, key=_order)
    return Record(decision, tuple(sorted(bars.values())))


def _order(decision: Decision) -> tuple[int, int, int, bool, bool, int, bytes]:
    """The later one; else what lets fewer in; else what was decided earlier; else any, and always the same one."""
    return (
        decision.epoch,
        decision.version,
        _RANK[decision.state],
        not decision.expected,
        decision.token is None,
        -decision.changed_ns,
        _encoder.encode(decision),
    )


def decided(record: Record, decision: Decision, node: str) -> Record:
    """Return the record after a decision of this master."""
    version = record.decision.version + 1
    return msgspec.structs.replace(record, decision=msgspec.structs.replace(decision, version=version, node=node))


def effective(record: Record, fingerprint: str) -> Decision:
    """Return what a record means; `fingerprint`: of its key.  A key that is barred counts no more, whatever was decided."""
    decision = record.decision
    if decision.state in ("accepted", "rejected") and any(bar.fingerprint == fingerprint for bar in record.bars):
        return msgspec.structs.replace(decision, state="revoked", formers=(), successor=None)
    return decision


def conflict(known: Decision, joined: Decision) -> Conflict | None:
    """Return which acceptance was lost to another one that did not follow it; None where none was."""
    if known.state != "accepted" or joined.state != "accepted" or known.public == joined.public:
        return None
    if joined.epoch > known.epoch or any(former.public == known.public for former in joined.formers):
        return None  # The id was taken away from it, or it was replaced.
    return Conflict(known, joined)
