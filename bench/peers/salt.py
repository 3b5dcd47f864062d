"""Salt's own event bus: its event publisher and nothing else of a master; clients as in its documentation."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from bench import installed
from bench.peers.peer import Connection, Data, Event, Guarantee, Pattern, Peer, ServerProcess, Tally
from bench.versions import distribution_versions

# The event publisher as a master starts it (salt/master.py), its process manager with it.
PUBLISHER = """
import sys, time
import salt.channel.server, salt.config, salt.utils.process
options = salt.config.master_config(sys.argv[1])
manager = salt.utils.process.ProcessManager(wait_for_kill=5)
channel = salt.channel.server.MasterPubServerChannel.factory(options)
channel.pre_fork(manager)
while True:
    time.sleep(3600)
"""
READ_S = 60


class SaltConnection(Connection):
    def __init__(self, options: Any) -> None:
        self._event_module: Any = import_module("salt.utils.event")
        self._options = options
        self._sender: Any = None

    def _get_event(self, *, listen: bool) -> Any:
        return self._event_module.get_event(
            "master", sock_dir=self._options["sock_dir"], opts=self._options, listen=listen
        )

    def _publisher(self) -> Any:
        if self._sender is None:
            self._sender = self._get_event(listen=False)
        return self._sender

    def publish_many(self, events: Iterable[Event]) -> None:
        fire = self._publisher().fire_event
        for tag, data in events:
            if not fire(data, tag):
                raise RuntimeError("the event bus did not take an event")

    def publish_one(self, tag: str, data: Data) -> None:
        self.publish_many([(tag, data)])

    def receive(self, pattern: Pattern, tally: Tally) -> None:
        take, text = tally.take, pattern.text
        match_type = "fnmatch" if pattern.is_glob else "startswith"
        with self._get_event(listen=True) as bus, tally.watched():
            read = bus.get_event
            while True:
                event = read(wait=READ_S, tag=text, match_type=match_type, full=True)
                if event is not None and take(event["tag"], event["data"]):
                    break

    def close(self) -> None:
        if self._sender is not None:
            self._sender.destroy()


class Salt(Peer):
    title = "Salt's event bus"
    guarantee = Guarantee.MEMORY
    promise = "at most once"
    advice = (
        "`salt.utils.event.get_event`, `fire_event` and `get_event(full=True)`; one connection kept open, and publishers "
        "that do not listen, as its documentation advises; the event publisher alone, without a master's other processes"
    )
    environment = "salt"
    cannot: ClassVar[Mapping[str, str]] = {
        "publish": "`fire_event` returns once the socket has taken it; nothing is acknowledged",
        "replay": "it keeps nothing",
    }
    notes: ClassVar[Mapping[str, str]] = {
        "prefixes": "everything is sent to every reader, which filters itself",
        "globs": "everything is sent to every reader, which filters itself",
        "command": "`salt-run event.send`",
    }
    _process: ServerProcess | None = None
    _options: Any = None

    def start(self) -> None:
        config = self.folder / "master"
        config.write_text(
            f"root_dir: {self.folder}\nsock_dir: {self.folder}/sock\npki_dir: {self.folder}/pki\n"
            f"cachedir: {self.folder}/cache\nlog_file: {self.folder}/log\nkey_logfile: {self.folder}/key.log\n"
            f"extension_modules: {self.folder}/modules\npidfile: {self.folder}/pid\n"
            f"conf_file: {config}\nid: bench\ninterface: 127.0.0.1\nlog_level: error\nkeysize: 2048\n"
        )
        for name in ("sock", "pki", "cache/proc"):
            (self.folder / name).mkdir(parents=True)
        self._options = import_module("salt.config").master_config(str(config))
        self._process = ServerProcess([sys.executable, "-W", "ignore", "-c", PUBLISHER, config], self.folder)
        pub, pull = (self.folder / "sock" / f"master_event_{name}.ipc" for name in ("pub", "pull"))
        self._process.wait_until(lambda: pub.exists() and pull.exists())

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def pids(self) -> dict[str, int]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        # The process that only watches over the publisher is of no account.
        return {"EventPublisher": int(children[0])}

    def load(self) -> None:
        for name in ("salt.config", "salt.utils.event"):
            import_module(name)

    def connect(self) -> SaltConnection:
        return SaltConnection(self._options)

    def command(self, tag: str) -> list[str]:
        program = str(Path(sys.executable).parent / "salt-run")
        return [program, "-c", str(self.folder), "event.send", tag, '{"n": 1}']

    def script(self, tag: str) -> str:
        folder = str(self.folder)
        return (
            "import salt.config, salt.utils.event\n"
            f"options = salt.config.client_config({folder + '/master'!r})\n"
            f"with salt.utils.event.get_event('master', sock_dir={folder + '/sock'!r}, opts=options, listen=False) as bus:\n"
            f"    assert bus.fire_event({{'n': 1}}, {tag!r})\n"
        )

    def versions(self) -> dict[str, str]:
        return distribution_versions("salt", "tornado", "msgpack")

    def installed_bytes(self) -> int:
        return installed.size_bytes(Path(sys.executable).parent)
