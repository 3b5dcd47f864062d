"""A broker as a program that writes down every path that it opens, makes, renames or removes: FILE FOLDER [BY_NAME].

With BY_NAME it also tries to read a file by the name of each cursor, as no broker should.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from sylvite.broker.readers import Readers
from sylvite.broker.settings import BrokerSettings
from sylvite.daemons.broker import BrokerOptions, main
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.controls import replace

PATHS = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.listdir",
}
RUNS = {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "import", "compile", "exec"}


def _watch(file: str) -> None:
    told = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in PATHS:
            paths = [each for each in arguments[:2] if isinstance(each, (str, bytes))]
            os.write(
                told,
                "".join(f"{event}\t{os.fsdecode(path)!r}\n" for path in paths[: 1 + (event == "os.rename")]).encode(),
            )
        elif event in RUNS:
            os.write(told, f"{event}\t{arguments[0]!r}\n"[:300].encode())

    sys.addaudithook(hook)


def _open_by_name() -> None:
    check = Readers._check_cursor  # pyright: ignore[reportPrivateUsage] - where a name comes in

    def opened(readers: Readers, connection: Any, name: str) -> None:
        try:
            os.close(os.open(os.path.join("cursors.d", name), os.O_RDONLY | os.O_NONBLOCK))
        except (OSError, ValueError):
            pass  # The attempt is what is told.
        check(readers, connection, name)

    replace(Readers, "_check_cursor", opened)


if __name__ == "__main__":
    if sys.argv[3:] == ["by name"]:
        _open_by_name()
    options = BrokerOptions(
        Path(sys.argv[2]),
        settings=BrokerSettings(log=LogSettings(keep_free_bytes=0, segment_bytes=256 * 1024)),
        ready_fd=1,
    )
    _watch(sys.argv[1])
    sys.exit(main(options))
