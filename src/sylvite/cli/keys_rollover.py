"""`sylvite keys rollover` and `renew`: another key for the master, or for a minion."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sylvite.auth import rollover as keys
from sylvite.auth.keyring_folder import KeyFolder, load_public
from sylvite.auth.keys import KeyPair
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.keys_folder import MASTER, folder_of_keys, keys_options
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import write_json

EXAMPLES = (
    Example("sylvite keys rollover", "Make the next key, and have minions learn it"),
    Example("sylvite keys rollover --finish", "Use it, once all minions were connected"),
)
RENEW_EXAMPLES = (Example("sylvite keys renew --config ./minion.yaml", "On the minion"),)


@command("rollover", examples=EXAMPLES)
@click.option("--finish", is_flag=True, help="Use the next key from now on.")
@click.option("--cancel", is_flag=True, help="Forget the next key.")
@click.option("--overlap", type=DURATION, default=keys.OVERLAP_S, metavar="TIME",
              help="How long a minion trusts the former key after it has seen the next one in use [24h].")  # fmt: skip
@keys_options
@pass_options
def rollover(options: GlobalOptions, *, finish: bool, cancel: bool, overlap: float, folder: Path) -> None:
    """Give the master another key, while its minions go on.

    First the next key is made, and the link tells minions of it, signed with the key that they trust. Each that connects
    learns it; with --finish it takes the place of the former one, and minions connect again. One that was not connected in
    between needs the new fingerprint in master_finger, or a token. The link need not be started anew.
    """
    if finish and cancel:
        raise click.UsageError("--finish and --cancel do not go together")
    with KeyFolder(folder_of_keys(folder)) as opened:
        former = load_public(opened, MASTER).fingerprint
        if cancel:
            keys.cancel(opened, MASTER)
            _tell(options, None, "the next key is forgotten", former=former)
        elif finish:
            _tell(options, keys.finish(opened, MASTER), "is the master's key from now on", former=former)
        else:
            pair, made = keys.begin_master(opened, MASTER, time.time_ns(), overlap)
            text = "is made, and minions are told of it" if made else "was made before, and minions are told of it"
            _tell(options, pair, f"{text}; once all were connected, go on with --finish", former=former)


@command("renew", examples=RENEW_EXAMPLES)
@click.option("-c", "--config", type=click.Path(path_type=Path), metavar="FILE",
              help="Configuration of the minion [/etc/sylvite/minion].")  # fmt: skip
@pass_options
def renew(options: GlobalOptions, config: Path | None) -> None:
    """Give this minion another key, while it goes on.

    The minion, when it runs and is connected, shows the next key to its master, which takes it because it knows the one in
    use; then it connects with it. The former one counts for a day more, and is revoked then.
    """
    from sylvite.daemons.options.reading import load_minion
    from sylvite.daemons.uplink import PAIR

    with KeyFolder(load_minion(config).raise_first().options.pki_dir) as opened:
        former = load_public(opened, PAIR).fingerprint
        pair, made = keys.begin(opened, PAIR)
    _tell(options, pair, f"{'is made' if made else 'was made before'}; the minion takes it up by itself", former=former)


def _tell(options: GlobalOptions, pair: KeyPair | None, text: str, *, former: str) -> None:
    if options.json:
        write_json({"former": former, "fingerprint": None if pair is None else pair.fingerprint, "done": text})
        return
    if pair is not None:
        click.echo(pair.fingerprint)
    if not options.quiet:
        click.echo(text, err=True)
