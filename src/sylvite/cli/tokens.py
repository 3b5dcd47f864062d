"""`sylvite tokens`: who may use the bus over HTTP, and for what."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from sylvite.cli.command import Example, GlobalOptions, LazyGroup, command, pass_options
from sylvite.cli.keys_folder import keys_options
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import table, write_json
from sylvite.cli.template import local_time


@click.group(
    "tokens",
    cls=LazyGroup,
    lazy={
        "create": ("sylvite.cli.tokens:create", "Make a token, with what it lets its holder do."),
        "list": ("sylvite.cli.tokens:list_", "List the tokens that count."),
        "revoke": ("sylvite.cli.tokens:revoke", "Take tokens back, at once."),
        "password": ("sylvite.cli.tokens:password", "Make the line of a user who logs in with a password."),
    },
)
def tokens() -> None:
    """Look after tokens: who may use the bus over HTTP."""


@command(
    "create",
    examples=(
        Example("sylvite tokens create wall -s events:read:myco/** --expires 30d", "For a screen on the wall"),
        Example("sylvite tokens create ci -s events:write:ci/** -s events:read:ci/**", "For a build, for half a day"),
        Example("sylvite tokens create admin -s events:read:** -s events:write:** -s status:read -s tokens:admin", "For everything"),
    ),
)  # fmt: skip
@click.argument("owner")
@click.option(
    "-s", "--scope", "scopes", multiple=True, required=True, metavar="SCOPE", help="Such as events:read:myco/**."
)
@click.option(
    "--expires", "life_s", type=DURATION, default=12 * 3600.0, metavar="TIME", help="How long it counts [12h]."
)
@click.option("--note", default="", metavar="TEXT", help="What it is for.")
@keys_options
@pass_options
def create(options: GlobalOptions, owner: str, scopes: tuple[str, ...], life_s: float, note: str, folder: Path) -> None:
    """Make a token, with what it lets its holder do.

    Its text is shown this once. OWNER is whose events they are that are published with it. Scopes: docs/http.md.
    """
    from sylvite.api.scopes import parse_scope
    from sylvite.api.tokens import TokenStore

    with TokenStore(folder) as store:
        token, secret = store.make(
            owner, [parse_scope(text) for text in scopes], time.time_ns(), life_s=life_s, backend="local", note=note
        )
    if options.json:
        write_json({**token.shown(), "token": secret.reveal()})
        return
    click.echo(secret.reveal())
    if not options.quiet:
        click.echo(
            f"token {token.id} of {owner}, until {local_time(token.until_ns)[:19]}; it is not shown again", err=True
        )


@command("list", examples=(Example("sylvite tokens list", "All that count"),))
@keys_options
@pass_options
def list_(options: GlobalOptions, folder: Path) -> None:
    """List the tokens that count.

    Their texts are known to nobody but their holders.
    """
    from sylvite.api.tokens import TokenStore

    with TokenStore(folder) as store:
        found = store.all(time.time_ns())
    if options.json:
        write_json([token.shown() for token in found])
        return
    if not found:
        click.echo("there are no tokens; `sylvite tokens create` makes one", err=True)
        return
    rows: list[tuple[str, ...]] = []
    for token in found:
        used = local_time(token.used_ns)[:16] if token.used_ns else "never"
        rows.append((token.id, token.owner, local_time(token.until_ns)[:16], used, " ".join(map(str, token.scopes))))
    click.echo("\n".join(table(rows, ("ID", "OWNER", "UNTIL", "LAST USED", "SCOPES"))))


@command("revoke", examples=(Example("sylvite tokens revoke abcd2345", "One, by its id", exit_code=1),))
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@keys_options
@pass_options
def revoke(options: GlobalOptions, ids: tuple[str, ...], folder: Path) -> None:
    """Take tokens back, at once.

    Streams that were opened with one end within a second.
    """
    from sylvite.api.tokens import TokenStore

    with TokenStore(folder) as store:
        for id_ in ids:
            store.revoke(id_)
            if options.json:
                write_json({"id": id_, "revoked": True})
            elif not options.quiet:
                click.echo(f"{id_} does not count any more")


@command(
    "password",
    examples=(
        Example("sylvite tokens password alice >> /etc/sylvite/users", "Asked for twice, on a terminal", endless=True),
        Example("echo 'correct horse battery staple' | sylvite tokens password alice", "From a program"),
    ),
)
@click.argument("name")
@pass_options
def password(options: GlobalOptions, name: str) -> None:
    """Make the line of a user who logs in with a password.

    It belongs into the file that external_auth names (file: ^filename), which nobody else may read. The password is
    asked for, or is the first line of stdin; what is kept of it is a hash.
    """
    from sylvite.api.eauth import PASSWORD_CHARACTERS_MAX, make_line

    if not name or not name.isprintable() or ":" in name or name != name.strip():
        raise click.UsageError("NAME has no colon, and no blank at its ends")
    if sys.stdin.isatty():
        said: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        said = sys.stdin.readline().rstrip("\n")
    if not 0 < len(said) <= PASSWORD_CHARACTERS_MAX:
        raise click.UsageError(f"a password has 1 to {PASSWORD_CHARACTERS_MAX} characters")
    line = make_line(name, said, os.urandom(16))
    if options.json:
        write_json({"name": name, "line": line})
    else:
        click.echo(line)
