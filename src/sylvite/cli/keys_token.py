"""`sylvite keys token`: let one minion in, once, without a look at its fingerprint."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sylvite.auth.enrolment import Token, token_until_ns
from sylvite.auth.keyring_values import NoSuchKey, State, check_id
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.keys_folder import keys_options, master_key, open_keyring
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import write_json
from sylvite.cli.template import local_time

EXAMPLES = (
    Example("sylvite keys token web10", "For an hour"),
    Example("sylvite keys token web10 --valid 15m", "For less"),
    Example("sylvite keys token web10 --cancel", "Not any more"),
)


@command("token", examples=EXAMPLES)
@click.argument("id_", metavar="ID")
@click.option("--valid", "valid_s", type=DURATION, default=3600.0, metavar="TIME", help="How long, at most 24h [1h].")
@click.option("--cancel", is_flag=True, help="Let the token of this id count no more.")
@keys_options
@pass_options
def token(options: GlobalOptions, id_: str, valid_s: float, folder: Path, *, cancel: bool) -> None:
    """Make a token that lets one minion in, once.

    It is shown this one time, and holds the master's fingerprint too: the minion then needs no master_finger. A new
    token for an id takes the place of its former one.
    """
    id_ = check_id(id_)
    with open_keyring(folder) as keyring:
        if cancel:
            if not keyring.forget_token(id_):
                raise NoSuchKey(f"there is no token for {id_}")
            if options.json:
                write_json({"id": id_, "cancelled": True})
            elif not options.quiet:
                click.echo(f"the token for {id_} does not count any more")
            return
        made = Token.new(master_key(keyring.folder).fingerprint)
        now_ns = time.time_ns()
        until_ns = token_until_ns(now_ns, valid_s)
        keyring.add_token(id_, made.mac(id_), now_ns, until_ns)
        waiting = [key for key in keyring.all_keys(id_) if key.state is State.PENDING]
    if options.json:
        write_json({"id": id_, "token": made.reveal(), "until_ns": until_ns, "master": made.master})
        return
    click.echo(made.reveal())
    if not options.quiet:
        click.echo(f"for {id_}, once, until {local_time(until_ns)[:19]}; it is not shown again", err=True)
        for key in waiting:
            click.echo(f"the key {key.fingerprint} waits for this id already, and no other gets it now; delete that one "
                       "if it is not the minion's", err=True)  # fmt: skip
