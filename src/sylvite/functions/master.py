"""Master: the master whose options functions have: where it is, its minions, its jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from sylvite.functions.context import Bus
from sylvite.functions.opts import bus_of
from sylvite.jobs.client_core import JOBS_FILE, KEYS, MasterPlace
from sylvite.jobs.known_minions import read_known
from sylvite.jobs.local_client import LocalClient
from sylvite.jobs.minions import FILE, MinionRecord
from sylvite.jobs.roster import Roster
from sylvite.jobs.store import JobReader, read_jobs


def place_of(opts: Mapping[str, Any], bus: Bus) -> MasterPlace:
    """Return where the master is, and how long its jobs are waited for."""
    usual = MasterPlace()
    socket = bus.socket or bus_of(opts)
    return MasterPlace(
        socket=Path(socket) if socket else None,
        data_dir=Path(opts["data_dir"]),
        nodegroups=opts.get("nodegroups", {}),
        timeout_s=opts.get("timeout", usual.timeout_s),
        gather_s=opts.get("gather_job_timeout", usual.gather_s),
        unique_jid=opts.get("unique_jid", False),
    )


@contextlib.contextmanager
def local_client(opts: Mapping[str, Any], bus: Bus) -> Generator[LocalClient]:
    """Open a client for jobs.  Raises BrokerNotReachable, NotAllowed."""
    with LocalClient.connect(place_of(opts, bus)) as client:
        yield client


@contextlib.contextmanager
def jobs(opts: Mapping[str, Any]) -> Generator[JobReader]:
    """Open the job store.  Raises JobStoreFailed: there is none, or it cannot be used."""
    with read_jobs(Path(opts["data_dir"]) / JOBS_FILE) as reader:
        yield reader


def keeps_jobs(opts: Mapping[str, Any]) -> bool:
    """Say whether there is a job store."""
    return (Path(opts["data_dir"]) / JOBS_FILE).exists()


def accepted(opts: Mapping[str, Any]) -> list[str]:
    """Return the ids whose keys count.  Raises InvalidSetting, KeyringFailed."""
    folder = Path(opts["data_dir"])
    return list(Roster(folder / KEYS, folder / FILE).read(with_grains=False).accepted)


def records(opts: Mapping[str, Any]) -> list[MinionRecord]:
    """Return what is known of each minion; nothing where none was ever there.  Raises JobStoreFailed."""
    path = Path(opts["data_dir"]) / FILE
    if not path.exists():
        return []
    with read_known(path) as reader:
        return list(reader.records())


def present(opts: Mapping[str, Any]) -> dict[str, str]:
    """Return who is connected, and from where.  Raises JobStoreFailed."""
    return {record.id: record.address for record in records(opts) if record.is_present}
