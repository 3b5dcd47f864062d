"""`sylvite console`: a way into the page of a bus, for whoever may read its folder."""

from __future__ import annotations

import getpass
import re
import time

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.master_place import FoundMaster, data_folder, master_options
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import write_json

LIFE_S = 120.0
LIFE_S_MAX = 3600.0
ADDRESS = "http://127.0.0.1:8000"
"""Where `sylvite api` listens if nothing is said."""
EXAMPLES = (
    Example("sylvite console", "A link into the console, for everything"),
    Example("sylvite console -s events:read:myco/** --url https://bus.example.com", "For a look at some events, from elsewhere"),
)  # fmt: skip


@command("console", examples=EXAMPLES)
@click.option("--url", metavar="URL", help=f"Where the interface is [{ADDRESS}, or as the master's file says].")
@click.option("-s", "--scope", "scopes", multiple=True, metavar="SCOPE", help="What it lets one do [everything].")
@click.option("--owner", metavar="NAME", help="Who it is for [you].")
@click.option(
    "--within", "life_s", type=DURATION, default=LIFE_S, metavar="TIME", help="How long the link counts [2m]."
)
@master_options("found", lambda _, found: found)
@pass_options
def console(
    options: GlobalOptions,
    url: str | None,
    scopes: tuple[str, ...],
    owner: str | None,
    life_s: float,
    found: FoundMaster,
) -> None:
    """Make a link into the console, which counts once.

    The console is a page that `sylvite api` serves. Whoever opens the link is logged in for half a day.
    """
    from sylvite.api.scopes import EVERYTHING, VERBS, Scope, parse_scope
    from sylvite.api.tokens import LINK, OWNER, TokenStore

    if not 0 < life_s <= LIFE_S_MAX:
        raise click.UsageError(f"--within is up to {LIFE_S_MAX / 60:g}m")
    at = (url or _address(found)).rstrip("/")
    if not re.match(r"https?://[^\s/?#]", at):
        raise click.UsageError(f"--url {at} is no address; it is such as {ADDRESS}")
    everything = [Scope(name, EVERYTHING if verb.separator else "") for name, verb in VERBS.items()]
    wanted = [parse_scope(text) for text in scopes] or everything
    who = owner or getpass.getuser()
    if not OWNER.fullmatch(who):
        raise click.UsageError("--owner is a name of up to 128 characters of ASCII without blanks")
    with TokenStore(data_folder(options, found)) as store:
        _, code = store.make(who, wanted, time.time_ns(), life_s=life_s, backend=LINK, note="a link into the console")
    link = f"{at}/console/login?code={code.reveal()}"
    if options.json:
        write_json({"url": link, "owner": who, "scopes": [str(scope) for scope in wanted], "within_s": life_s})
        return
    click.echo(link)
    if not options.quiet:
        click.echo(f"it counts once, within {life_s:g} s", err=True)


def _address(found: FoundMaster) -> str:
    """Return where the interface of this master is, as its file says."""
    if found.configured is None or found.configured.rest_cherrypy.port is None:
        return ADDRESS
    rest = found.configured.rest_cherrypy
    host = "127.0.0.1" if rest.host in ("0.0.0.0", "::") else rest.host  # noqa: S104 - what it listens on, not we
    shown = f"[{host}]" if ":" in host else host
    return f"http{'' if rest.disable_ssl or rest.ssl_crt is None else 's'}://{shown}:{rest.port}{rest.root_prefix.rstrip('/')}"
