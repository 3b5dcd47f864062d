"""A master's bus and files, and minions that are played: they answer on the bus as their returns would come there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sylvite import Client
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keys import make_pair
from sylvite.jobs.client_core import MasterPlace
from sylvite.jobs.minions import open_minions
from sylvite.testing.broker import BrokerProcess

WITHIN_S = 60.0
Play = Callable[[str, Mapping[str, Any]], Any]
"""From a minion's id and the publication to what it returns; SILENT: nothing."""
SILENT = object()


def accept(keys: Path, ids: Iterable[str]) -> None:
    """Let minions in, as an operator would."""
    with Keyring.open(keys, make=True) as keyring:
        for minion in ids:
            public = make_pair().public
            keyring.ask(minion, public, "127.0.0.1", time.time_ns())
            keyring.accept(minion, public.fingerprint, time.time_ns())
        announce(keyring, lambda events: None)


def place_at(folder: Path, socket: Path, **more: Any) -> MasterPlace:
    return MasterPlace(socket=socket, data_dir=folder, **more)


def ping(minion: str, publication: Mapping[str, Any]) -> Any:
    """Answer as a minion that has nothing to do."""
    del minion
    match publication["fun"]:
        case "saltutil.find_job":
            return {}
        case "sys.list_functions":
            return ["test.ping", "test.arg"]
        case "test.arg":
            return {"args": publication["arg"], "kwargs": {}}
        case "test.fail":
            return {"return": "it went wrong", "retcode": 3, "success": False, "__whole__": True}
        case _:
            return True


class Minions:
    """Played minions: a context manager.  `asked`: each that was asked, with the publication."""

    def __init__(self, socket: Path, ids: Iterable[str], play: Play = ping) -> None:
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self._ids, self._play = list(ids), play
        self._bus = Client.connect(socket)
        self._jobs = self._bus.subscribe(regex=r"salt/job/[^/]+/(new|publish)$")
        self._expected: dict[str, list[str]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="played minions")

    def __enter__(self) -> Minions:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(WITHIN_S)
        self._bus.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            event = self._jobs.next(0.05)
            if event is None:
                continue
            if event.tag.endswith("/new"):
                self._expected[event.data["jid"]] = event.data["minions"]
                continue
            for minion in self._expected[event.data["jid"]]:
                if minion in self._ids:
                    self._answer(minion, event.data)

    def _answer(self, minion: str, publication: Mapping[str, Any]) -> None:
        self.asked.append((minion, publication))
        value = self._play(minion, publication)
        if value is SILENT:
            return
        data: dict[str, Any] = {"return": value, "retcode": 0, "success": True}
        if isinstance(value, dict) and "__whole__" in value:
            data = {name: each for name, each in value.items() if name != "__whole__"}  # pyright: ignore[reportUnknownVariableType]
        send_return(self._bus, publication, minion, data)


def send_return(bus: Client, publication: Mapping[str, Any], minion: str, data: Mapping[str, Any]) -> None:
    """Publish a return as the link does."""
    jid = publication["jid"]
    load = {
        "cmd": "_return", "id": minion, "jid": jid, "fun": publication["fun"], "fun_args": publication["arg"],
        "user": publication["user"], **data,
    }  # fmt: skip
    bus.publish(f"salt/job/{jid}/ret/{minion}", load)


class Master:
    """A broker in a folder with the keys of these minions and what is known of them.  `place`: for a LocalClient."""

    def __init__(
        self, folder: Path, ids: Mapping[str, Mapping[str, Any]], *, present: Iterable[str] | None = None
    ) -> None:
        """`ids`: with their grains.  `present`: who is here; None: all."""
        self.broker = BrokerProcess(folder)
        self.place = place_at(folder, self.broker.socket, timeout_s=0.5, gather_s=1.0)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        accept(folder / "keys", ids)
        with open_minions(folder / "minions.db") as store:
            for minion, grains in ids.items():
                store.keep_grains(minion, grains, time.time_ns())
                if present is None or minion in present:
                    store.came(minion, "127.0.0.1", time.time_ns())

    def write_config(self) -> Path:
        """Return a file with the options of this master, as the command line takes it."""
        file = self.broker.folder / "master.yaml"
        options = {
            "data_dir": self.broker.folder, "sock_dir": self.broker.folder, "timeout": self.place.timeout_s,
            "gather_job_timeout": self.place.gather_s,
        }  # fmt: skip
        file.write_text("".join(f"{name}: {value}\n" for name, value in options.items()))
        return file

    def __enter__(self) -> Master:
        self.broker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.broker.__exit__(kind, error, trace)
