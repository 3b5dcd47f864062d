"""Options of both a master and a minion."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec

from sylvite.broker.settings import BrokerSettings
from sylvite.daemons.options.forms import (
    About,
    File,
    Flag,
    Folder,
    Folders,
    Form,
    IpcMode,
    Level,
    LogFormat,
    MatchType,
    Roots,
    SaltFraming,
    Text,
    Texts,
)

FILE_ROOTS: dict[str, tuple[str, ...]] = {"base": ("/srv/salt",)}
_PLACES = "Folders are Sylvite's own, so that a Salt on the same machine is not disturbed."


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The name in a file is Salt's; the name of a field ends in its unit.  Durations are seconds, None is no limit."""

    id: Annotated[
        Text, About("The id of this node. Without one, the name of the machine; of a master with _master behind it.")
    ] = ""
    root_dir: Annotated[Folder, About("What the paths of all other options lie below.")] = Path("/")
    default_include: Annotated[
        Text, About("Which other files are read after the main one, in the order of their names; later ones win.")
    ] = ""
    include: Annotated[
        Texts,
        About(
            "More files to read, after those of default_include: paths or shell patterns, relative to the file that names them."
        ),
    ] = ()
    sock_dir: Annotated[Folder, About("Where the socket of the bus is.", _PLACES)] = Path("/var/run/sylvite")
    pki_dir: Annotated[Folder, About("Where keys are.", _PLACES)] = Path("/etc/sylvite/pki")
    cachedir: Annotated[Folder, About("Where that is which can be made again.", _PLACES)] = Path("/var/cache/sylvite")
    data_dir: Annotated[
        Folder,
        About(
            "Where the event log, jobs and keys of others are kept.", "Salt keeps no events, and all else in cachedir."
        ),
    ] = Path("/var/lib/sylvite")
    ipc_mode: Annotated[
        IpcMode,
        About("How programs of this machine reach the bus: by a UNIX socket, or by TCP on the loopback with a token."),
    ] = "ipc"
    salt_sockets: Annotated[
        Flag, About("Serve Salt's own sockets too, for programs written for Salt: docs/salt.md.")
    ] = True
    salt_socket_framing: Annotated[
        SaltFraming,
        About("How events stand on them for who reads: length for programs of Salt 3006.27 and later of 3006."),
    ] = "stream"
    event_match_type: Annotated[
        MatchType, About("How a tag is compared with what a program of Salt's waits for, where it does not say.")
    ] = "startswith"
    log_level: Annotated[
        Level,
        About(
            "What is written to stderr or the journal.",
            "Salt's default is warning; here little is said at info, and a start belongs to it.",
        ),
    ] = "info"
    log_file: Annotated[
        File,
        About(
            "Also write what is logged to this file.", "Salt has one by default; here stderr or the journal is enough."
        ),
    ] = None
    log_level_logfile: Annotated[
        Level | None,
        Form("a level of logging, or null"),
        About("What is written to log_file; without it, as log_level."),
    ] = None
    log_format: Annotated[
        LogFormat,
        About(
            "Log lines as text, or each as one JSON object.", "In place of Salt's log_fmt_console and log_fmt_logfile."
        ),
    ] = "text"
    module_dirs: Annotated[Folders, About("Folders with execution functions of your own.")] = ()
    file_roots: Annotated[
        Roots,
        About(
            "Where functions of your own are looked for too, in _modules, _runners, _wheel and _beacons below these, and files of steps."
        ),
    ] = msgspec.field(default_factory=lambda: dict(FILE_ROOTS))
    disable_modules: Annotated[Texts, About("Modules of functions that are not loaded.")] = ()
    enable_modules: Annotated[
        Texts,
        About(
            "Modules of functions that are off unless they are named here, such as cmd.",
            "Salt loads all of its modules.",
        ),
    ] = ()
    unique_jid: Annotated[Flag, About("Put the number of the process behind job ids.")] = False
    broker: Annotated[
        BrokerSettings, Form("settings of a broker"), About("The bus of this node: docs/operations.md, Configuration.")
    ] = BrokerSettings()


def fields_of(options: NodeOptions) -> tuple[msgspec.structs.FieldInfo, ...]:
    return fields_of_kind(type(options))


@cache
def fields_of_kind(kind: type[NodeOptions]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return the options that a kind has.  It takes milliseconds, which every program has to wait for: so it is done once."""
    return msgspec.structs.fields(kind)


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
