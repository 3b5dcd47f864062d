"""`sylvite keys gen`: make a pair of keys."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_folder import KeyFolder, load_or_make_pair, private_name
from sylvite.auth.keyring_values import check_id
from sylvite.auth.keys import KeyPair
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.keys_folder import MASTER, folder_of_keys, keys_options
from sylvite.cli.output import write_json

EXAMPLES = (
    Example("sylvite keys gen", "The master's, where it has none yet"),
    Example("sylvite keys gen web11 --to ./seed", "One for a minion: ./seed/web11.key and web11.pub"),
)


@command("gen", examples=EXAMPLES)
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--to", "to", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the pair of a minion.")
@keys_options
@pass_options
def gen(options: GlobalOptions, id_: str | None, to: Path | None, folder: Path) -> None:
    """Make a pair of keys: the master's, or one for a minion.

    Prints the fingerprint. A pair that is there already is left as it is. The folder is for its owner alone.
    """
    if (id_ is None) != (to is None):
        raise click.UsageError("for a minion give both, ID and --to")
    if id_ is None or to is None:
        where = folder_of_keys(folder)
        with KeyFolder(where, make=True) as opened:
            pair, made = load_or_make_pair(opened, MASTER)
        Keyring.open(where).close()  # So that the other commands find a keyring, though an empty one.
        _tell(options, pair, where / private_name(MASTER), made=made)
    else:
        name = check_id(id_)
        with KeyFolder(to, make=True) as opened:
            pair, made = load_or_make_pair(opened, name)
        _tell(options, pair, to / private_name(name), made=made)


def _tell(options: GlobalOptions, pair: KeyPair, file: Path, *, made: bool) -> None:
    if options.json:
        write_json({"fingerprint": pair.fingerprint, "pub": pair.public.pem, "file": str(file), "made": made})
        return
    click.echo(pair.fingerprint)
    if not options.quiet:
        click.echo(f"{file} {'is made' if made else 'was there already'}", err=True)
