"""`salt.client`, `salt.runner` and `salt.wheel`: functions and jobs from Python, with Salt's arguments and exceptions."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from sylvite.compat.bus import find_bus
from sylvite.compat.config import client_config, minion_config
from sylvite.compat.exceptions import (
    AuthorizationError,
    SaltClientError,
    SaltClientTimeout,
    SaltInvocationError,
    SaltReqTimeoutError,
)
from sylvite.errors import AckUnknown, ConnectionLost, InvalidInput, NotAllowed, SylviteError, WaitTimeout
from sylvite.functions import clients
from sylvite.functions.bus import LocalBus
from sylvite.functions.errors import FunctionNotAvailable
from sylvite.jobs import local_client
from sylvite.jobs.client_core import MasterPlace
from sylvite.jobs.publishing import JobOptions


@contextlib.contextmanager
def _as_salt() -> Generator[None]:
    """What goes wrong has Salt's class."""
    try:
        yield
    except InvalidInput as error:
        raise SaltInvocationError(str(error)) from error
    except NotAllowed as error:
        raise AuthorizationError(str(error)) from error
    except WaitTimeout as error:
        raise SaltClientTimeout(str(error)) from error
    except AckUnknown as error:
        raise SaltReqTimeoutError(str(error)) from error
    except ConnectionLost as error:
        raise SaltClientError(f"{error}; is the master running?") from error
    except SylviteError as error:
        raise SaltClientError(str(error)) from error


class Caller(clients.Caller):
    """Execution functions in this process, with the options of the minion on this machine."""

    def __init__(self, c_path: str = "/etc/salt/minion", mopts: Mapping[str, Any] | None = None) -> None:
        opts = dict(mopts) if mopts else minion_config(c_path)
        super().__init__(opts, bus=LocalBus(find_bus("minion", opts), node="minion", name="Caller"))

    def cmd(self, fun: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function as it stands.  Raises KeyError: there is none; else what it raises."""
        try:
            return super().cmd(fun, *args, **kwargs)
        except FunctionNotAvailable as error:
            raise KeyError(fun) from error

    def function(self, fun: str, *args: Any, **kwargs: Any) -> Any:
        """As `cmd`, with texts read as those of a command line."""
        try:
            return super().function(fun, *args, **kwargs)
        except FunctionNotAvailable as error:
            raise KeyError(fun) from error


class RunnerClient(clients.RunnerClient):
    """Runners, with the options of a master."""

    def __init__(self, opts: Mapping[str, Any], context: object = None) -> None:
        del context
        super().__init__(opts, bus=LocalBus(find_bus("master", opts), node="master", name="RunnerClient"))


class WheelClient(clients.WheelClient):
    """Wheel functions, with the options of a master."""

    def __init__(self, opts: Mapping[str, Any], context: object = None) -> None:
        del context
        super().__init__(opts, bus=LocalBus(find_bus("master", opts), node="master", name="WheelClient"))


def get_local_client(
    c_path: str = "/etc/salt/master",
    mopts: Mapping[str, Any] | None = None,
    skip_perm_errors: bool = False,
    io_loop: object = None,
    auto_reconnect: bool = False,
    listen: bool = False,
) -> LocalClient:
    return LocalClient(c_path, mopts, skip_perm_errors, io_loop, False, auto_reconnect, listen)


class LocalClient:
    """Jobs on minions.  It connects to the master when it is first used."""

    def __init__(
        self,
        c_path: str = "/etc/salt/master",
        mopts: Mapping[str, Any] | None = None,
        skip_perm_errors: bool = False,
        io_loop: object = None,
        keep_loop: bool = False,
        auto_reconnect: bool = False,
        listen: bool = False,
    ) -> None:
        """All but `c_path` and `mopts` is taken, and of no effect."""
        del skip_perm_errors, io_loop, keep_loop, auto_reconnect, listen
        self.opts = dict(mopts) if mopts else client_config(c_path)
        self._client: local_client.LocalClient | None = None

    @property
    def _local(self) -> local_client.LocalClient:
        if self._client is None:
            with _as_salt():
                self._client = local_client.LocalClient.connect(_place_of(self.opts))
        return self._client

    def destroy(self) -> None:
        """Let the master go; it is connected to again where this is used again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    close = destroy

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    def pub(
        self,
        tgt: str | Sequence[str],
        fun: str | Sequence[str],
        arg: Sequence[Any] = (),
        tgt_type: str = "glob",
        ret: str = "",
        jid: str = "",
        timeout: float | None = None,
        listen: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Publish a job; return its `jid` and the `minions` that are expected, or nothing where there are none."""
        del timeout, listen
        with _as_salt():
            return self._local.pub(tgt, fun, arg, **_options(tgt_type, ret, jid, kwargs))

    def run_job(
        self,
        tgt: str | Sequence[str],
        fun: str | Sequence[str],
        arg: Sequence[Any] = (),
        tgt_type: str = "glob",
        ret: str = "",
        timeout: float | None = None,
        jid: str = "",
        kwarg: Mapping[str, Any] | None = None,
        listen: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As `pub`, with arguments by name."""
        return self.pub(tgt, fun, arg, tgt_type, ret, jid, timeout, listen, kwarg=kwarg, **kwargs)

    def cmd_async(
        self,
        tgt: str | Sequence[str],
        fun: str | Sequence[str],
        arg: Sequence[Any] = (),
        tgt_type: str = "glob",
        ret: str = "",
        jid: str = "",
        kwarg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> str | Literal[0]:
        """Publish a job; return its jid, or 0 where no minion is expected."""
        return self.pub(tgt, fun, arg, tgt_type, ret, jid, kwarg=kwarg, **kwargs).get("jid", 0)

    def cmd(
        self,
        tgt: str | Sequence[str],
        fun: str | Sequence[str],
        arg: Sequence[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        ret: str = "",
        jid: str = "",
        full_return: bool = False,
        kwarg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return what each minion has returned; False for one that has not answered."""
        options = _options(tgt_type, ret, jid, {"kwarg": kwarg, **kwargs})
        with _as_salt():
            return self._local.cmd(tgt, fun, arg, timeout_s=timeout, full_return=full_return, **options)

    def cmd_full_return(
        self,
        tgt: str | Sequence[str],
        fun: str | Sequence[str],
        arg: Sequence[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        ret: str = "",
        verbose: bool = False,
        kwarg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return what each minion has sent, whole."""
        del verbose
        with _as_salt():
            return self._local.cmd_full_return(
                tgt, fun, arg, timeout_s=timeout, **_options(tgt_type, ret, "", {"kwarg": kwarg, **kwargs})
            )

    def cmd_iter(
        self,
        tgt: str | Sequence[str],
        fun: str | Sequence[str],
        arg: Sequence[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        ret: str = "",
        kwarg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        """Yield `{id: {"ret": …, "retcode": …, "jid": …}}` as minions answer."""
        options = _options(tgt_type, ret, "", {"kwarg": kwarg, **kwargs})
        with _as_salt():
            yield from self._local.cmd_iter(tgt, fun, arg, timeout_s=timeout, **options)

    def cmd_iter_no_block(
        self,
        tgt: str | Sequence[str],
        fun: str | Sequence[str],
        arg: Sequence[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        ret: str = "",
        kwarg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any] | None]:
        """As `cmd_iter`, and None where nothing is there at the moment."""
        options = _options(tgt_type, ret, "", {"kwarg": kwarg, **kwargs})
        with _as_salt():
            yield from self._local.cmd_iter_no_block(tgt, fun, arg, timeout_s=timeout, **options)

    def cmd_cli(
        self,
        tgt: str | Sequence[str],
        fun: str | Sequence[str],
        arg: Sequence[Any] = (),
        timeout: float | None = None,
        tgt_type: str = "glob",
        ret: str = "",
        verbose: bool = False,
        kwarg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        """As `cmd_iter`; of those that have not answered it yields what a command line shows."""
        del verbose
        options = _options(tgt_type, ret, "", {"kwarg": kwarg, **kwargs})
        with _as_salt():
            yield from self._local.cmd_cli(tgt, fun, arg, timeout_s=timeout, **options)

    def cmd_batch(
        self,
        tgt: str | Sequence[str],
        fun: str | Sequence[str],
        arg: Sequence[Any] = (),
        tgt_type: str = "glob",
        ret: str = "",
        kwarg: Mapping[str, Any] | None = None,
        batch: str | int = "10%",
        **kwargs: Any,
    ) -> Iterator[dict[str, Any]]:
        """Run a job on so many minions at a time; yield `{id: return}` as they come."""
        raw, failhard = bool(kwargs.pop("raw", False)), bool(kwargs.pop("failhard", False))
        options = _options(tgt_type, ret, "", {"kwarg": kwarg, **kwargs})
        with _as_salt():
            yield from self._local.cmd_batch(tgt, fun, arg, batch=batch, raw=raw, failhard=failhard, **options)

    def cmd_subset(
        self,
        tgt: str | Sequence[str],
        fun: str,
        arg: Sequence[Any] = (),
        tgt_type: str = "glob",
        ret: str = "",
        kwarg: Mapping[str, Any] | None = None,
        subset: int = 3,
        cli: bool = False,
        progress: bool = False,
        full_return: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Run a job on some of the minions, chosen by chance; return as `cmd`."""
        del cli, progress
        options = _options(tgt_type, ret, "", {"kwarg": kwarg, **kwargs})
        with _as_salt():
            return self._local.cmd_subset(tgt, fun, arg, subset=subset, full_return=full_return, **options)

    def get_cache_returns(self, jid: str) -> dict[str, Any]:
        """Return what the master has kept of a job."""
        with _as_salt():
            return self._local.get_cache_returns(jid)

    def get_iter_returns(
        self, jid: str, minions: Sequence[str], timeout: float | None = None, tgt: str = "*", tgt_type: str = "glob", **kwargs: Any
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Yield what the minions have sent and send."""
        del tgt, tgt_type, kwargs
        with _as_salt():
            yield from self._local.get_iter_returns(jid, list(minions), timeout_s=timeout)

    def get_event_iter_returns(
        self, jid: str, minions: Sequence[str], timeout: float | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield what comes within `timeout`."""
        with _as_salt():
            yield from self._local.get_event_iter_returns(jid, list(minions), timeout_s=timeout)

    def get_returns(
        self, jid: str, minions: Sequence[str], timeout: float | None = None
    ) -> dict[str, Any]:  # fmt: skip
        """Return what each of the minions has returned, once all have, or the time is over."""
        with _as_salt():
            return self._local.get_returns(jid, list(minions), timeout_s=timeout)


def _options(tgt_type: str, ret: str, jid: str, more: Mapping[str, Any]) -> JobOptions:
    """Return what a job says beside its target and function; what is empty is left out, and what is of no meaning here."""
    known = JobOptions.__optional_keys__
    found = {name: value for name, value in more.items() if name in known and value is not None}
    found["tgt_type"] = tgt_type
    found |= {name: value for name, value in (("ret", ret), ("jid", jid)) if value}
    return cast("JobOptions", found)


def _place_of(opts: Mapping[str, Any]) -> MasterPlace:
    return MasterPlace(
        socket=Path(find_bus("master", opts)),
        data_dir=Path(opts["data_dir"]),
        nodegroups=opts.get("nodegroups") or {},
        timeout_s=float(opts["timeout"]),
        gather_s=float(opts["gather_job_timeout"]),
        unique_jid=bool(opts.get("unique_jid")),
    )
