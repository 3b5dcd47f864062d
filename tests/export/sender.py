"""A bus with `sylvite webhooks run` beside it, and its command line."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

from sylvite.auth.webhooks import Secret
from sylvite.cli.main import main
from sylvite.testing.broker import BrokerProcess
from tests.daemons.nodes import Daemon
from tests.export.receiver import Receiver

LOCAL = ("--allow-http", "--allow-network", "127.0.0.0/8", "--timeout", "60s")
"""To a receiver of this machine, which may be busy."""


class Sender(Daemon):
    """`sylvite webhooks run`: a context manager."""

    def __init__(self, broker: BrokerProcess, *arguments: str) -> None:
        place = ("--socket", str(broker.socket), "--dir", str(broker.folder))
        super().__init__(broker.folder, "webhooks", "run", *place, *arguments)
        self.broker = broker

    def __enter__(self) -> Sender:
        super().__enter__()
        return self


def command(broker: BrokerProcess, *words: str, code: int = 0) -> Any:
    """Run `sylvite webhooks ...` with --json; return what it prints, or the error that it tells."""
    printed, told = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
        ended = main(["--json", "--socket", str(broker.socket), "webhooks", *words, "--dir", str(broker.folder)])
    lines = [line for stream in (printed, told) for line in _written(stream)]
    assert ended == code, (ended, lines)
    return json.loads(lines[0] if lines else "null")


def _written(stream: io.TextIOWrapper) -> list[str]:
    stream.seek(0)
    return stream.read().splitlines()


def add(broker: BrokerProcess, name: str, receiver: Receiver, *options: str) -> Secret:
    """Add a webhook to a receiver of this machine; return what it is signed with."""
    return Secret(command(broker, "add", name, receiver.url, *LOCAL, *options)["secret"])


def listed(broker: BrokerProcess, name: str) -> dict[str, Any]:
    return next(each for each in command(broker, "list") if each["name"] == name)
