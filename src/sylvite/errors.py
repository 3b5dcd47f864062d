"""Every error of Sylvite, as one tree.

Each class has a `code`: the same word on the wire, in `--json` output and in HTTP problems. What a caller would
do differently has a class of its own; the facts are attributes, and the message says what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

FACT_CHARACTERS_MAX = 512


class SylviteError(Exception):
    """Anything that Sylvite reports.  Catch this to catch all of it."""

    code: ClassVar[str] = "error"


def _shown(value: object, characters: int = 80) -> str:
    """Return a value for a message: what is long is cut, for it may come from anyone."""
    shown = repr(value[: characters + 1] if isinstance(value, str) else value)
    return shown if len(shown) <= characters + 2 else shown[: characters - 3] + "..."


# -- The caller's input ------------------------------------------------------------------------------------------


class InvalidInput(SylviteError, ValueError):
    """What was given cannot be used; trying again without a change is pointless."""

    code = "invalid_input"


class InvalidTag(InvalidInput):
    code = "invalid_tag"

    def __init__(self, tag: str, reason: str) -> None:
        super().__init__(f"tag {_shown(tag)} is not valid: {reason}")
        self.tag, self.reason = tag, reason


class InvalidPattern(InvalidInput):
    code = "invalid_pattern"

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(f"pattern {_shown(pattern)} is not valid: {reason}")
        self.pattern, self.reason = pattern, reason


class InvalidExpression(InvalidInput):
    """A predicate that cannot be read.  `position` counts characters from 0; the message points at it."""

    code = "invalid_expression"

    def __init__(self, expression: str, position: int, reason: str) -> None:
        start = max(0, position - 60)
        shown = expression[start : position + 40].replace("\n", " ")
        super().__init__(f"{reason}\n  {shown}\n  {' ' * (position - start)}^")
        self.expression, self.position, self.reason = expression, position, reason


class InvalidTarget(InvalidExpression):
    """A target that cannot be read, or that nobody here can resolve.  `position` as for any expression."""

    code = "invalid_target"


class InvalidJid(InvalidInput):
    code = "invalid_jid"

    def __init__(self, jid: str, reason: str) -> None:
        super().__init__(f"{_shown(jid)} is no job id: {reason}")
        self.jid, self.reason = jid, reason


class InvalidData(InvalidInput):
    """Data that is not a map, or that has no form in MessagePack within our limits."""

    code = "invalid_data"


class InvalidSetting(InvalidInput):
    code = "invalid_setting"

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(f"{name}: {_shown(value, 200)} {reason}")
        self.name, self.value, self.reason = name, value, reason


class EventTooBig(InvalidInput):
    code = "event_too_big"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the event has {size} bytes of data; the limit is {limit}. Put large content elsewhere and publish where it is"
        )
        self.size, self.limit = size, limit


# -- The conversation --------------------------------------------------------------------------------------------


class ProtocolError(SylviteError):
    code = "protocol_error"


class LocalProtocolError(ProtocolError):
    """We were about to say what is not allowed in this state: a mistake in the calling code."""

    code = "local_protocol_error"


class RemoteProtocolError(ProtocolError):
    """The other side said what is not allowed, or what cannot be read.  The connection is closed."""

    code = "remote_protocol_error"


class FrameTooBig(RemoteProtocolError):
    code = "frame_too_big"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a frame of {size} bytes was announced; the limit is {limit}")
        self.size, self.limit = size, limit


class ConnectionLost(SylviteError):
    """The broker cannot be reached, or has gone away."""

    code = "connection_lost"


class BrokerNotReachable(ConnectionLost):
    code = "broker_not_reachable"

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"no broker at {address}: {reason}. Start one with `sylvite broker`, or give --socket")
        self.address, self.reason = address, reason


class AddressInUse(SylviteError):
    """Another broker has the path that a broker was to listen at."""

    code = "address_in_use"

    def __init__(self, path: str, holder: str = "") -> None:
        who = f"another broker (process {holder})" if holder else "another broker"
        super().__init__(f"{path} is in use by {who}; stop that one or choose another path")
        self.path, self.holder = path, holder


class NotAuthenticated(SylviteError):
    code = "not_authenticated"


class NotAllowed(SylviteError):
    """The policy forbids it."""

    code = "not_allowed"


class Overloaded(SylviteError):
    """A limit of the broker is reached for the moment; the same call may succeed later."""

    code = "overloaded"


class ShuttingDown(Overloaded):
    code = "shutting_down"


class StaleSequence(SylviteError):
    """A retry so old that the broker cannot tell any more whether it has the events already."""

    code = "stale_sequence"


class AckUnknown(SylviteError):
    """No answer: the events may be in the log, or not.  `Client.retry` asks again, and nothing is stored twice."""

    code = "ack_unknown"
    ticket: object = None
    """What was published, for `Client.retry`."""


class AckTimeout(AckUnknown, TimeoutError):
    code = "ack_timeout"


class DurabilityUnknown(AckUnknown):
    """The events are written, but the disk refused to confirm that they would survive a power cut."""

    code = "durability_unknown"


class ReplicationUnknown(AckUnknown):
    """The events are synced on this node, but the cluster has not confirmed in time that it has them too."""

    code = "replication_unknown"


class WaitTimeout(SylviteError, TimeoutError):
    """No event came in time."""

    code = "wait_timeout"


class EventsMissed(SylviteError):
    """Events that this subscription would have covered are not there; `gap` says which and why.

    Going on with the subscription is safe: the next event is the first one after the gap.
    """

    code = "events_missed"

    def __init__(self, gap: object) -> None:
        super().__init__(str(gap))
        self.gap = gap


class CursorInUse(SylviteError):
    code = "cursor_in_use"

    def __init__(self, name: str) -> None:
        super().__init__(f"cursor {name!r} is in use by another subscription; one reader at a time may hold it")
        self.name = name


class NoSuchCursor(SylviteError):
    code = "no_such_cursor"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no cursor {name!r}; `sylvite cursors list` shows those that there are")
        self.name = name


# -- Jobs --------------------------------------------------------------------------------------------------------


class NoSuchJob(SylviteError):
    code = "no_such_job"

    def __init__(self, jid: str) -> None:
        super().__init__(f"there is no job {_shown(jid)}: it was never published here, or is older than what is kept")
        self.jid = jid


class JobStoreFailed(SylviteError):
    """The file of the jobs, or of what is known of minions, cannot be used, or the disk refused it.

    The event log has the events all the same.
    """

    code = "job_store_failed"


class JobStoreInUse(JobStoreFailed):
    """Another process writes to it."""

    code = "job_store_in_use"


# -- More than one master ---------------------------------------------------------------------------------------


class ClusterError(SylviteError):
    code = "cluster_error"


class ClusterUnreachable(ClusterError):
    """No server of NATS answers, or not enough of them to decide anything.  It may pass by itself."""

    code = "cluster_unreachable"

    def __init__(self, servers: str, reason: str) -> None:
        super().__init__(
            f"the cluster at {servers} cannot be used: {reason}. Look whether its servers run, and are reachable from here"
        )
        self.servers, self.reason = servers, reason


class ClusterRefused(ClusterError):
    """The servers do not let us in, or not do what we have to."""

    code = "cluster_refused"

    def __init__(self, servers: str, reason: str) -> None:
        super().__init__(
            f"the cluster at {servers} refuses us: {reason}. Look at `credentials` and `tls` of the option cluster, and at the "
            "users and permissions of the servers"
        )
        self.servers, self.reason = servers, reason


class ClusterUnfit(ClusterError):
    """What is there cannot keep our promises; `cure`: what to do about it."""

    code = "cluster_unfit"

    def __init__(self, what: str, reason: str, cure: str) -> None:
        super().__init__(f"{what}: {reason}; {cure}")
        self.what, self.reason, self.cure = what, reason, cure


class NameTaken(ClusterError):
    """Two masters of a cluster have one name; the one that is told so stops."""

    code = "name_taken"

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(
            f"the name {node!r} belongs to another master: {reason}. Give this one a name of its own (`node` of the option cluster, "
            "else `id`), and a log of its own where its disk is a copy; or stop the other one"
        )
        self.node, self.reason = node, reason


class LeaseLost(ClusterError):
    """Another master has taken over what we wanted to do: it must not be done by us."""

    code = "lease_lost"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the lease {name} is not ours: {reason}; leave it to whoever has it")
        self.name, self.reason = name, reason


# -- The log -----------------------------------------------------------------------------------------------------


class EventLogError(SylviteError):
    code = "log_error"


class OffsetGone(EventLogError):
    code = "offset_gone"

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"offset {asked} is gone; the log now starts at {oldest}")
        self.asked, self.oldest = asked, oldest


class NoSuchOffset(EventLogError):
    code = "no_such_offset"

    def __init__(self, asked: int, end: int) -> None:
        super().__init__(f"there is no event at offset {asked}; the next one to be written is {end}")
        self.asked, self.end = asked, end


class DiskFull(EventLogError):
    """Nothing was written.  Publishing works again by itself once there is space."""

    code = "no_space"


class LogInUse(EventLogError):
    code = "log_in_use"


class LogDamaged(EventLogError):
    """Events that were acknowledged as synced are not in the log any more."""

    code = "log_damaged"


class LogNotUnderstood(EventLogError):
    """Made by another program or a newer version.  It is left exactly as it is."""

    code = "log_not_understood"


class LogFailed(EventLogError):
    """The disk failed us twice; the broker stops rather than acknowledge what it cannot keep."""

    code = "log_failed"


def _tree(root: type[SylviteError]) -> dict[str, type[SylviteError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


def facts_of(error: SylviteError) -> dict[str, str | int]:
    """Return the attributes of an error that can travel: short texts and numbers."""
    return {
        name: fact if isinstance(fact, int) else fact[:FACT_CHARACTERS_MAX]
        for name, fact in vars(error).items()
        if isinstance(fact, (str, int)) and not name.startswith("_")
    }


def from_wire(code: str, message: str, facts: Mapping[str, str | int]) -> SylviteError:
    """Return the error that the other side named, with its facts; an unknown code becomes a plain `SylviteError`."""
    kind = _tree(SylviteError).get(code, SylviteError)
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    for name, fact in facts.items():
        if name.isidentifier() and not name.startswith("_") and not hasattr(kind, name):
            setattr(error, name, fact)
    return error
