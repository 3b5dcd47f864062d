"""LocalClient: run jobs on the minions of the master on this machine, and collect what they return.

    with LocalClient.connect() as local:
        print(local.cmd("web*", "test.ping"))

Names and shapes are those of Salt's LocalClient.  One client belongs to one thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, Unpack

from sylvite.client.sync_client import Client
from sylvite.errors import InvalidInput
from sylvite.jobs.client_core import JobCore, MasterPlace, Options, able_to, pick, place_of, since_of
from sylvite.jobs.collecting import shape_missing, shape_return
from sylvite.jobs.publishing import Functions, JobOptions, Publication, Targeted
from sylvite.jobs.returns import Returns, publish
from sylvite.jobs.targets import DELIMITER

RECONNECT_S = 60.0
LOOK_S = 0.01
"""What `cmd_iter_no_block` waits for something before it says that there is nothing."""

Shown = dict[str, dict[str, Any]]
"""A minion and what it has sent: `{"web1": {"ret": True, "retcode": 0, "jid": "2026…", "success": True}}`."""


class LocalClient:
    """Jobs of one master, made by `LocalClient.connect`.

    All methods that run something take what stands in `JobOptions`: `tgt_type`, `kwarg`, `metadata`, `start_event`, …
    `timeout_s`: how long without news until minions are asked whether they still run the job; None: as configured.
    They may raise: InvalidTarget, InvalidJid, InvalidInput for what was given; NotAllowed, ConnectionLost, AckUnknown
    and their like from the bus; InvalidSetting, JobStoreFailed and KeyringFailed for the master's files.
    """

    def __init__(self, bus: Client, core: JobCore) -> None:
        self._bus, self._core = bus, core

    @classmethod
    def connect(cls, place: MasterPlace | Options | None = None, *, timeout_s: float = 10.0) -> LocalClient:
        """Return a client for the jobs of a master, as the user that runs it.

        `place`: where it is, or its options; without it at the usual places, or where `$SYLVITE_SOCKET` and `$SYLVITE_DIR` say.

        Raises:
            BrokerNotReachable, NotAllowed: at once.
        """
        core = JobCore(place_of(place))
        core.check_user()
        return cls(Client.connect(core.place.socket, timeout_s=timeout_s, reconnect_s=RECONNECT_S, name="jobs"), core)

    def __enter__(self) -> LocalClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the master go.  Jobs that run go on."""
        self._bus.close()

    def new_jid(self) -> str:
        """Return a jid for a job that is going to be published, by the option `jid`."""
        return self._core.new_jid()

    # -- Run a job, and do not wait ----------------------------------------------------------------------------------

    def pub(
        self, tgt: Targeted, fun: Functions, arg: Sequence[Any] = (), **options: Unpack[JobOptions]
    ) -> dict[str, Any]:
        """Publish a job; return its `jid` and the `minions` that are expected, or nothing where there are none."""
        published = self._core.prepare(self._core.order(tgt, fun, arg, options))
        if published.minions:
            publish(self._bus, published)
        return published.as_map()

    def run_job(
        self, tgt: Targeted, fun: Functions, arg: Sequence[Any] = (), **options: Unpack[JobOptions]
    ) -> dict[str, Any]:
        """As `pub`."""
        return self.pub(tgt, fun, arg, **options)

    def cmd_async(
        self, tgt: Targeted, fun: Functions, arg: Sequence[Any] = (), **options: Unpack[JobOptions]
    ) -> str | Literal[0]:
        """Publish a job; return its jid, or 0 where no minion is expected."""
        return self.pub(tgt, fun, arg, **options).get("jid", 0)

    # -- Run a job, and wait for its returns -------------------------------------------------------------------------

    def start(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> tuple[Publication, Returns]:
        """Publish a job; return it, and its returns, which are heard from before it was published.

        Where no minion is expected, nothing is published.
        """
        published = self._core.prepare(self._core.order(tgt, fun, arg, options))
        collecting = self._core.collecting(published.jid, published.minions, timeout_s, away=published.away)
        returns = Returns(self._bus, self._core, collecting)
        if published.minions:
            returns.listen()
            try:
                publish(self._bus, published)
            except BaseException:
                returns.close()
                raise
        return published, returns

    def start_batch(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        batch: str | int = "10%",
        batch_wait_s: float = 0.0,
        failhard: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> tuple[Publication, Returns]:
        """As `start`, for so many minions at a time (`batch`); what comes next is published while returns are asked for.

        Minions that are not here get nothing, and have not answered.  `failhard`: one that fails ends it for all.
        """
        order = self._core.order(tgt, fun, arg, options)
        published = self._core.prepare(order)
        batching = self._core.batching(published, batch, timeout_s, wait_s=batch_wait_s, failhard=failhard)
        if not published.minions:
            return published, Returns(self._bus, self._core, self._core.collecting(published.jid, [], timeout_s))
        returns = Returns(self._bus, self._core, batching, order)
        returns.listen()
        return published, returns

    def cmd(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        full_return: bool = False,
        **options: Unpack[JobOptions],
    ) -> dict[str, Any]:
        """Return what each minion has returned; False for one that has not answered.  `full_return`: as `cmd_iter`."""
        _, returns = self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        with returns:
            found = {each.minion: shape_return(each.data) if full_return else each.data["return"] for each in returns}
            return found | dict.fromkeys(returns.collecting.missing, False)

    def cmd_full_return(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> Shown:
        """Return what each minion has sent, in the shape of `cmd_iter`; those that have not answered are left out."""
        _, returns = self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        with returns:
            return {each.minion: shape_return(each.data) for each in returns}

    def cmd_iter(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> Iterator[Shown]:
        """Yield what each minion sends, as it comes; then `{id: {"failed": True}}` for those that have not answered."""
        _, returns = self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        with returns:
            for each in returns:
                yield {each.minion: shape_return(each.data)}
            for minion in returns.collecting.missing:
                yield {minion: {"failed": True}}

    def cmd_iter_no_block(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> Iterator[Shown | None]:
        """As `cmd_iter`, and None where nothing is there at the moment."""
        _, returns = self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        with returns:
            while not returns.ended:
                found = returns.next(LOOK_S)
                if found is not None or not returns.ended:
                    yield None if found is None else {found.minion: shape_return(found.data)}
            for minion in returns.collecting.missing:
                yield {minion: {"failed": True}}

    def cmd_cli(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> Iterator[Shown]:
        """As `cmd_iter`; of those that have not answered it yields what a command line shows."""
        _, returns = self.start(tgt, fun, arg, timeout_s=timeout_s, **options)
        with returns:
            for each in returns:
                yield {each.minion: shape_return(each.data)}
            for minion, shown in self.shape_missing(returns).items():
                yield {minion: shown}

    def shape_missing(self, returns: Returns) -> Shown:
        """Return what a command line shows of those that have not answered."""
        missing = returns.collecting.missing
        present = self._core.roster.present() if missing else None
        return {minion: shape_missing(returns.jid, minion, present) for minion in missing}

    def cmd_batch(
        self,
        tgt: Targeted,
        fun: Functions,
        arg: Sequence[Any] = (),
        *,
        batch: str | int = "10%",
        batch_wait_s: float = 0.0,
        failhard: bool = False,
        raw: bool = False,
        timeout_s: float | None = None,
        **options: Unpack[JobOptions],
    ) -> Iterator[dict[str, Any]]:
        """Run a job on so many minions at a time; yield `{id: return}` as they come, or with `raw` as `cmd_iter`."""
        _, returns = self.start_batch(
            tgt, fun, arg, batch=batch, batch_wait_s=batch_wait_s, failhard=failhard, timeout_s=timeout_s, **options
        )
        with returns:
            for each in returns:
                yield {each.minion: shape_return(each.data) if raw else each.data["return"]}

    def cmd_subset(
        self,
        tgt: Targeted,
        fun: str,
        arg: Sequence[Any] = (),
        *,
        subset: int = 3,
        timeout_s: float | None = None,
        full_return: bool = False,
        **options: Unpack[JobOptions],
    ) -> dict[str, Any]:
        """Run a job on some of the minions, chosen by chance among those that have the function; return as `cmd`."""
        chosen = self.choose_subset(tgt, fun, subset, timeout_s=timeout_s, **options)
        listed: JobOptions = {**options, "tgt_type": "list"}
        return self.cmd(chosen, fun, arg, timeout_s=timeout_s, full_return=full_return, **listed) if chosen else {}

    def choose_subset(
        self, tgt: Targeted, fun: str, subset: int, *, timeout_s: float | None = None, **options: Unpack[JobOptions]
    ) -> list[str]:
        """Return the ids that `cmd_subset` would choose.  The minions are asked which functions they have."""
        if subset < 1:
            raise InvalidInput(f"subset: {subset} minions are none")
        asked: JobOptions = {
            "tgt_type": options.get("tgt_type", "glob"), "delimiter": options.get("delimiter", DELIMITER)
        }  # fmt: skip
        return pick(able_to(fun, self.cmd(tgt, "sys.list_functions", timeout_s=timeout_s, **asked)), subset)

    # -- Returns of a job that was published before ------------------------------------------------------------------

    def get_iter_returns(self, jid: str, minions: Sequence[str], *, timeout_s: float | None = None) -> Iterator[Shown]:
        """Yield what the minions have sent and send, as `cmd_iter`; also what came before this call."""
        with self._heard(jid, minions, timeout_s) as returns:
            for each in returns:
                yield {each.minion: shape_return(each.data)}
            for minion in returns.collecting.missing:
                yield {minion: {"failed": True}}

    def get_event_iter_returns(
        self, jid: str, minions: Sequence[str], *, timeout_s: float | None = None
    ) -> Iterator[Shown]:
        """Yield what comes within `timeout_s`; nobody is asked whether the job still runs."""
        wait_s = self._core.place.timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + wait_s
        with self._heard(jid, minions, wait_s) as returns:
            while (each := returns.next(max(deadline - time.monotonic(), 0.0))) is not None:
                yield {each.minion: shape_return(each.data)}

    def get_returns(self, jid: str, minions: Sequence[str], *, timeout_s: float | None = None) -> dict[str, Any]:
        """Return what each of the minions has returned, once all have, or `timeout_s` are over."""
        found = self.get_event_iter_returns(jid, minions, timeout_s=timeout_s)
        return {minion: shown["ret"] for each in found for minion, shown in each.items()}

    def here(self) -> list[str]:
        """Return the ids of the minions that are here, or, where nobody knows, of all whose keys are accepted; sorted."""
        return self._core.here()

    def get_cache_returns(self, jid: str) -> Shown:
        """Return what the master has kept of a job, in the shape of `cmd_iter`.

        Raises:
            InvalidJid; JobStoreFailed: this master keeps no jobs.
        """
        return self._core.cached(jid)

    def _heard(self, jid: str, minions: Sequence[str], timeout_s: float | None) -> Returns:
        returns = Returns(self._bus, self._core, self._core.collecting(jid, minions, timeout_s))
        returns.listen(since_of(jid))
        return returns
