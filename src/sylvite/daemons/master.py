"""A master: its broker, its link and what keeps its jobs, as processes of their own under one that looks after them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from sylvite.daemons.configuration import Configuration, report
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.precautions import secure_process
from sylvite.daemons.process import log_as, on_signals
from sylvite.daemons.supervision import Part, Supervisor
from sylvite.export.store import FILE

PARTS = (
    ("broker", ("broker",)),
    ("salt-sockets", ("salt-sockets",)),
    ("jobs", ("jobs", "keep")),
    ("api", ("api",)),
    ("webhooks", ("webhooks", "run")),
    ("link", ("link",)),
    ("cluster", ("cluster", "bridge")),
)
"""What a master is made of, in the order in which it starts: a name, and the command of `sylvite` that is the part.

Each reads the master's configuration itself (`--master FILE`), and reads it again at SIGHUP.
"""


OF_CLUSTER = ("cluster", "webhooks")
"""Those that end, begin or are started anew where the option `cluster` has changed when the configuration is read again."""
LATE = ("webhooks",)
"""Those that begin when the configuration is read again, where they are wanted by then; others wait for the next start."""


def main(configuration: Configuration[MasterOptions], *, given: Sequence[str] = (), ready_fd: int | None = None) -> int:
    """Run a master until SIGTERM or SIGINT; return the exit code.  `given`: words for the command line of each part."""
    secure_process()
    log_as(configuration)
    report(configuration.loaded)
    return asyncio.run(_run(configuration, given, ready_fd))


def parts(configuration: Configuration[MasterOptions], given: Sequence[str] = ()) -> list[Part]:
    file = str(configuration.loaded.main)
    options = configuration.options
    wanted = {
        "jobs": options.job_cache,
        "cluster": bool(options.cluster),
        "salt-sockets": options.salt_sockets,
        "api": options.rest_cherrypy.port is not None,
        "webhooks": bool(options.webhooks_out) or (options.data_dir / FILE).exists(),
    }
    return [
        # -P: nothing is imported from the folder that the master was started in.
        Part(name, (sys.executable, "-P", "-m", "sylvite", *command, "--master", file, *given))
        for name, command in PARTS
        if wanted.get(name, True)
    ]


async def _run(configuration: Configuration[MasterOptions], given: Sequence[str], ready_fd: int | None) -> int:
    supervisor = Supervisor(parts(configuration, given))

    def reload() -> None:
        before = configuration.options.cluster
        # Parts have nothing to read where there is a mistake, and would only say it once more.
        if configuration.reload():
            supervisor.hang_up()
            wanted = {part.name: part for part in parts(configuration, given)}
            supervisor.add([wanted[name] for name in LATE if name in wanted])
            if configuration.options.cluster != before:
                for name in OF_CLUSTER:
                    supervisor.change(name, wanted.get(name))

    on_signals(supervisor.stop, reload)
    return await supervisor.run(ready_fd)
