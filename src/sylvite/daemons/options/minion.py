"""Options of a minion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from sylvite.broker.settings import BrokerSettings
from sylvite.daemons.options.forms import (
    About,
    Beacons,
    Count,
    CountOrNoLimit,
    FileClient,
    Flag,
    Folder,
    Form,
    HashType,
    Map,
    MasterType,
    Milliseconds,
    Minutes,
    Port,
    Seconds,
    SecondsOrEver,
    Text,
    Texts,
)
from sylvite.daemons.options.node import NodeOptions
from sylvite.eventlog.settings import LogSettings

OUTBOX_BYTES = 256 * 1024 * 1024
"""Of the log, which is the outbox too, where nobody says otherwise."""
_PLACE = "Folders are Sylvite's own, so that a Salt on the same machine is not disturbed."


class MinionOptions(NodeOptions, frozen=True, kw_only=True):
    default_include: Annotated[
        Text, About("Which other files are read after the main one, in the order of their names; later ones win.")
    ] = "minion.d/*.conf"
    sock_dir: Annotated[Folder, About("Where the socket of the bus is.", _PLACE)] = Path("/var/run/sylvite/minion")
    pki_dir: Annotated[Folder, About("Where the keys of the minion and its master are.", _PLACE)] = Path(
        "/etc/sylvite/pki/minion"
    )
    cachedir: Annotated[Folder, About("Where that is which can be made again.", _PLACE)] = Path(
        "/var/cache/sylvite/minion"
    )
    data_dir: Annotated[
        Folder, About("Where the event log is, from which events go to the master.", "Salt keeps no events.")
    ] = Path("/var/lib/sylvite/minion")
    tcp_pub_port: Annotated[
        Port, About("With ipc_mode: tcp, the port on the loopback where programs of Salt's read events.")
    ] = 4510
    tcp_pull_port: Annotated[Port, About("And the one where they fire them.")] = 4511
    hash_type: Annotated[
        HashType, About("The hash of the id in the names of Salt's sockets.", "Salt hashes more things with it.")
    ] = "sha256"
    master: Annotated[
        Texts, About("The master, as HOST or HOST:PORT; of several, the next one is tried where one is away.")
    ] = ("salt",)
    master_port: Annotated[
        Port,
        About("The port of masters that are given without one.", "Salt's is 4506; here it is the one of ret_port."),
    ] = 4507
    master_type: Annotated[
        MasterType,
        About(
            "disable: this minion has no master.",
            "str and failover are the same: one master at a time, and the next where it is away.",
        ),
    ] = "str"
    random_master: Annotated[
        Flag, About("Try several masters in an order by chance, so that they share the minions.")
    ] = False
    master_finger: Annotated[
        Text, About("The fingerprint of the master's key. A master with another key is not spoken to.")
    ] = ""
    file_client: Annotated[FileClient, About("local: events stay on this machine.")] = "remote"
    use_master_when_local: Annotated[Flag, About("Send events to the master although file_client is local.")] = False
    enable_legacy_startup_events: Annotated[Flag, About("Publish minion_start beside salt/minion/ID/start.")] = True
    start_event_grains: Annotated[Texts, About("Grains that start events carry.")] = ()
    ping_interval_s: Annotated[Minutes, About("How often minion_ping is published; 0 for never.")] = msgspec.field(
        default=0.0, name="ping_interval"
    )
    auth_timeout_s: Annotated[
        Seconds, About("How long the master may take to answer when the minion proves who it is.")
    ] = msgspec.field(default=5.0, name="auth_timeout")
    acceptance_wait_time_s: Annotated[
        Seconds, About("How long to wait before asking again whether the key is accepted.")
    ] = msgspec.field(default=10.0, name="acceptance_wait_time")
    acceptance_wait_time_max_s: Annotated[Seconds, About("Up to how long that wait grows; 0: it does not grow.")] = (
        msgspec.field(default=0.0, name="acceptance_wait_time_max")
    )
    rejected_retry: Annotated[Flag, About("Ask again although the key was rejected, rather than stop.")] = False
    wrong_master_retry: Annotated[
        Flag,
        About(
            "Try again although the master has shown a key that is not trusted, rather than stop.",
            "Ours: Salt stops where master_finger does not fit.",
        ),
    ] = True
    recon_default_s: Annotated[Milliseconds, About("The shortest wait before the minion connects again.")] = (
        msgspec.field(default=1.0, name="recon_default")
    )
    recon_max_s: Annotated[Milliseconds, About("By how much that wait grows at most.")] = msgspec.field(
        default=10.0, name="recon_max"
    )
    recon_randomize: Annotated[
        Flag, About("Wait for a time by chance, so that minions do not come back all at once.")
    ] = True
    process_count_max: Annotated[
        CountOrNoLimit,
        About(
            "How many jobs run at a time; more of them wait.",
            "Salt's -1 is no limit; here it is 128: a job holds a process and a descriptor.",
        ),
    ] = None
    job_timeout_s: Annotated[
        SecondsOrEver,
        About(
            "How long a job may run. After it the job is ended, with all that it has started, and its return says so.",
            "Salt has no such option.",
        ),
    ] = msgspec.field(default=None, name="job_timeout")
    minion_jid_queue_hwm: Annotated[Count, About("How many job ids the minion remembers, to do no job twice.")] = 100
    grains: Annotated[Map, About("Grains of your own.")] = msgspec.field(default_factory=dict[str, Any])
    broker: Annotated[
        BrokerSettings, Form("settings of a broker"), About("The bus of this node: docs/operations.md, Configuration.")
    ] = BrokerSettings(log=LogSettings(keep_bytes=OUTBOX_BYTES))
    beacons: Annotated[Beacons, About("What is watched on this machine, and with which settings.")] = msgspec.field(
        default_factory=dict[str, dict[str, Any]]
    )
