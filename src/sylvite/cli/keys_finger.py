"""`sylvite keys finger`: fingerprints, to be compared."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.auth.keyring_folder import FILE_BYTES_MAX, KeyFolder, load_public, public_name
from sylvite.auth.keyring_values import NoSuchKey
from sylvite.auth.keys import InvalidKey, PublicKey, read_pair, read_pem
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.keys_folder import MASTER, folder_of_keys, keys_options, master_key, open_keyring
from sylvite.cli.keys_list import is_wanted, state_of
from sylvite.cli.output import table, write_json
from sylvite.errors import InvalidSetting

MINION = "minion"
"""Its pair is `minion.key` and `minion.pub` in its pki_dir."""
EXAMPLES = (
    Example("sylvite keys finger", "The master's, for master_finger of its minions"),
    Example("sylvite keys finger 'web*'", "Those of minions"),
    Example("sylvite keys finger --file web9.pub", "That of a key in a file"),
    Example("sylvite keys finger --minion", "On a minion: its own, as it has to be on the master", exit_code=78),
)


@command("finger", examples=EXAMPLES)
@click.argument("globs", nargs=-1, metavar="[GLOB ...]")
@click.option("--file", "file", type=click.Path(path_type=Path), metavar="FILE", help="Of the key in this file.")
@click.option("--minion", is_flag=True, help="Of the minion on this machine; --config is its own then.")
@keys_options
@pass_options
def finger(options: GlobalOptions, globs: tuple[str, ...], file: Path | None, folder: Path, *, minion: bool) -> None:
    """Show fingerprints: the master's, or those of minions.

    SHA-256 of the public key's SubjectPublicKeyInfo, as `openssl pkey -pubin -outform DER | sha256sum` says it.
    """
    if globs and (minion or file is not None):
        raise click.UsageError(f"{'--minion' if minion else '--file'} goes without GLOB")
    if minion:
        _tell_own(options, click.get_current_context().params["config"])
    elif file is not None:
        _tell(options, read_any(file))
    elif globs:
        _tell_minions(options, globs, folder)
    else:
        with KeyFolder(folder_of_keys(folder)) as opened:
            _tell(options, master_key(opened), MASTER)


def _tell_own(options: GlobalOptions, config: Path | None) -> None:
    """Raises InvalidSetting: the minion has no key yet."""
    from sylvite.daemons.options.reading import load_minion

    found = load_minion(config).raise_first().options
    if not (found.pki_dir / public_name(MINION)).exists():
        reason = "has no key yet: the first start of the minion makes it"
        raise InvalidSetting("pki_dir", str(found.pki_dir), reason)
    with KeyFolder(found.pki_dir) as opened:
        _tell(options, load_public(opened, MINION), found.id)


def read_any(file: Path) -> PublicKey:
    """Return the public key in a file of a public or of a private key.

    Raises:
        InvalidKey: there is none in it.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        content = opened.read(FILE_BYTES_MAX + 1)
    try:
        if b"PRIVATE KEY" in content:
            return read_pair(content).public
        return read_pem(content.decode("ascii"))
    except (InvalidKey, UnicodeDecodeError) as error:
        raise InvalidKey(f"{file}: there is no key in it that can be used: {error}") from error


def _tell(options: GlobalOptions, key: PublicKey, name: str | None = None) -> None:
    if options.json:
        write_json({"fingerprint": key.fingerprint, "pub": key.pem} | ({"name": name} if name else {}))
    else:
        click.echo(key.fingerprint)


def _tell_minions(options: GlobalOptions, globs: tuple[str, ...], folder: Path) -> None:
    with open_keyring(folder) as keyring:
        found = [key for key in keyring.all_keys() if is_wanted(key.id, globs)]
    if not found:
        raise NoSuchKey(f"no id matches {' '.join(ascii(glob) for glob in globs)}")
    if options.json:
        write_json([{"id": key.id, "state": key.state.value, "fingerprint": key.fingerprint} for key in found])
        return
    for line in table([(key.id, state_of(key), key.fingerprint) for key in found], ("ID", "STATE", "FINGERPRINT")):
        click.echo(line)
