"""A master with the console, and a minion that it has let in, as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sylvite import Client
from tests.daemons.nodes import WITHIN_S, Daemon, Site, free_port

ME = "me"
PREFIX = "/bus"
"""The interface is mounted below it, as behind a proxy that serves others too."""


class Console:
    """The site, and what tests do to it from outside.  `port`: of the interface."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.site = Site(folder, "alpha")
        self.site.write(
            self.site.master_file, "m", interface="127.0.0.1", ret_port=str(self.site.port), id="master",
            rest_cherrypy=f"{{host: 127.0.0.1, port: {self.port}, disable_ssl: true, root_prefix: {PREFIX}}}",
        )  # fmt: skip
        self.site.configure_minion()
        self.master = self.site.master()

    def sylvite(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "sylvite", "-q", *words],
            capture_output=True, text=True, timeout=WITHIN_S, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def link(self, *scopes: str) -> str:
        """Return the code of a link into the console; without scopes it is for everything."""
        given = [word for scope in scopes for word in ("-s", scope)]
        return self.sylvite("console", "--dir", str(self.site.data), "--owner", ME, *given).partition("code=")[2]

    def token(self, *scopes: str) -> str:
        given = [word for scope in scopes for word in ("-s", scope)]
        return self.sylvite("tokens", "create", ME, *given, "--dir", str(self.site.data))

    def publish(self, tag: str, count: int = 1, **data: Any) -> None:
        """Publish events from another process: each has its number, from 0 on, as `n`."""
        lines = "".join(f"{tag}\t{json.dumps({**data, 'n': n})}\n" for n in range(count))
        subprocess.run(
            [sys.executable, "-m", "sylvite", "-q", "publish", "--lines", "--socket", str(self.site.bus)],
            input=lines, text=True, timeout=WITHIN_S, check=True, capture_output=True,
        )  # fmt: skip

    def bus(self) -> Client:
        return Client.connect(self.site.bus)

    def another_minion(self, id_: str) -> Daemon:
        """A minion with a new key, which nobody has let in."""
        file = self.site.folder / f"{id_}.yaml"
        master = self.sylvite("keys", "finger", "--dir", str(self.site.data))
        self.site.write(
            file,
            id_,
            id=id_,
            master=f"127.0.0.1:{self.site.port}",
            master_finger=f"'{master}'",
            acceptance_wait_time="1",
        )
        return Daemon(self.site.folder, "minion", "--config", str(file))


@contextmanager
def running(folder: Path) -> Generator[Console]:
    console = Console(folder)
    with console.master:
        token = folder / "token"
        token.write_text(console.sylvite("keys", "token", console.site.id, "--dir", str(console.site.data)))
        token.chmod(0o600)
        with console.site.minion("--token", str(token)):
            with console.bus() as bus:
                for event in bus.subscribe(f"salt/minion/{console.site.id}/start", since="oldest"):
                    assert event.tag
                    break
            yield console
