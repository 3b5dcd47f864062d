"""Options of a master."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from sylvite.cluster.settings import ClusterSettings, read_cluster, write_cluster
from sylvite.daemons.options.forms import (
    About,
    CountOrAll,
    Flag,
    Folder,
    Folders,
    Form,
    Map,
    Nodegroups,
    Port,
    Seconds,
    SecondsOrEver,
    SizeOrNoLimit,
    Text,
    Texts,
)
from sylvite.daemons.options.node import NodeOptions
from sylvite.daemons.options.rest import RestCherrypy
from sylvite.daemons.options.webhooks import (
    Name,
    WebhookIn,
    WebhookOut,
    read_webhooks_in,
    read_webhooks_out,
    write_webhooks,
)

_PLACE = "Folders are Sylvite's own, so that a Salt on the same machine is not disturbed."


class MasterOptions(NodeOptions, frozen=True, kw_only=True):
    default_include: Annotated[
        Text, About("Which other files are read after the main one, in the order of their names; later ones win.")
    ] = "master.d/*.conf"
    sock_dir: Annotated[Folder, About("Where the socket of the bus is.", _PLACE)] = Path("/var/run/sylvite/master")
    pki_dir: Annotated[
        Folder, About("For programs that look for it: the key of a master is in keys below data_dir.", _PLACE)
    ] = Path("/etc/sylvite/pki/master")
    cachedir: Annotated[Folder, About("Where that is which can be made again.", _PLACE)] = Path(
        "/var/cache/sylvite/master"
    )
    data_dir: Annotated[
        Folder,
        About(
            "Where the event log, jobs and the keys of minions are kept.",
            "Salt keeps no events, and all else in cachedir and pki_dir.",
        ),
    ] = Path("/var/lib/sylvite/master")
    interface: Annotated[Text, About("The address that minions connect to.")] = "0.0.0.0"  # noqa: S104 - as Salt; only TLS with known keys
    ret_port: Annotated[
        Port,
        About(
            "The port that minions connect to.",
            "Salt's is 4506, beside publish_port 4505; here all goes through one port of its own.",
        ),
    ] = 4507
    tcp_master_pub_port: Annotated[
        Port, About("With ipc_mode: tcp, the port on the loopback where programs of Salt's read events.")
    ] = 4512
    tcp_master_pull_port: Annotated[Port, About("And the one where they fire them.")] = 4513
    max_minions: Annotated[
        CountOrAll, About("How many minions may be connected; more are turned away with act: full.")
    ] = None
    auth_events: Annotated[Flag, About("Publish salt/auth each time a minion proves who it is, or cannot.")] = True
    presence_events: Annotated[Flag, About("Publish salt/presence/change and salt/presence/present.")] = False
    loop_interval_s: Annotated[
        Seconds, About("How often the master looks after things: presence, jobs that are too old.")
    ] = msgspec.field(default=60.0, name="loop_interval")
    minion_data_cache: Annotated[Flag, About("Keep the grains of minions, so that targets can look at them.")] = True
    minion_data_cache_events: Annotated[
        Flag, About("Publish minion/refresh/ID when the kept grains of a minion are new.")
    ] = True
    nodegroups: Annotated[Nodegroups, About("Targets with a name: docs/targets.md.")] = msgspec.field(
        default_factory=dict[str, str | tuple[str, ...]]
    )
    timeout_s: Annotated[
        Seconds, About("How long a command waits without news before it asks whether minions still run its job.")
    ] = msgspec.field(default=5.0, name="timeout")
    gather_job_timeout_s: Annotated[Seconds, About("How long it waits for the answer to that.")] = msgspec.field(
        default=10.0, name="gather_job_timeout"
    )
    job_cache: Annotated[
        Flag, About("Keep jobs and returns, so that they can be looked up; off, they are in the event log alone.")
    ] = True
    keep_jobs_s: Annotated[SecondsOrEver, About("How long jobs can be looked up.")] = msgspec.field(
        default=86_400.0, name="keep_jobs_seconds"
    )
    keep_jobs_bytes: Annotated[
        SizeOrNoLimit, About("How much all kept jobs may take; beyond it the oldest go.", "Salt has no such limit.")
    ] = 1024 * 1024 * 1024
    runner_dirs: Annotated[Folders, About("Folders with runners of your own.")] = ()
    rest_cherrypy: Annotated[
        RestCherrypy,
        Form("a map with port, host, ssl_crt, ssl_key and others of docs/salt-rest.md"),
        About(
            "The HTTP interface, as Salt has it: port, host, ssl_crt, ssl_key, ... Without a port there is none: docs/salt-rest.md."
        ),
    ] = RestCherrypy()
    webhooks_in: Annotated[
        dict[Name, WebhookIn],
        Form(
            "a map of names to maps with scheme, secret_file, tag and others of docs/webhooks.md",
            read_webhooks_in,
            write_webhooks,
        ),
        About("Who may post to /v1/hooks/NAME of the HTTP interface, and which events that makes: docs/webhooks.md."),
    ] = msgspec.field(default_factory=dict[str, WebhookIn])
    webhooks_out: Annotated[
        dict[Name, WebhookOut],
        Form(
            "a map of names to maps with url, secret_file, tags and others of docs/webhooks.md",
            read_webhooks_out,
            write_webhooks,
        ),
        About("Which events are posted to which URLs: docs/webhooks.md."),
    ] = msgspec.field(default_factory=dict[str, WebhookOut])
    netapi_enable_clients: Annotated[
        Texts, About("Which clients Salt's REST API may use, such as local, runner, wheel; none without it.")
    ] = ()
    external_auth: Annotated[
        Map, About("Who may log in to Salt's REST API, and run what: back ends to users to lists of permissions.")
    ] = msgspec.field(default_factory=dict[str, Any])
    token_expire_s: Annotated[Seconds, About("How long a log-in counts.")] = msgspec.field(
        default=43_200.0, name="token_expire"
    )
    sharedsecret: Annotated[
        Text, About("What the back end sharedsecret of external_auth asks for; at least 32 characters.")
    ] = ""
    pam_service: Annotated[
        Text,
        About("The service whose rules the back end pam of external_auth goes by.", "Salt's name is auth.pam.service."),
    ] = "login"
    cluster: Annotated[
        ClusterSettings,
        Form(
            "nats://HOST:PORT, several with commas between, or a map with servers and others of docs/cluster.md",
            read_cluster,
            write_cluster,
        ),
        About(
            "The other masters, through NATS JetStream: its addresses, or a map with servers, credentials, tls, ...: docs/cluster.md.",
            "Salt's cluster_id, cluster_peers and others are of another kind.",
        ),
    ] = ClusterSettings()
