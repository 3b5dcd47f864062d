"""`sylvite certificate`: TLS for `sylvite api`, without an authority."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.output import write_json
from sylvite.errors import InvalidSetting

LOCAL = ("localhost", "127.0.0.1", "::1")
EXAMPLES = (
    Example("sylvite certificate", "For this machine: api.crt and api.key in this folder"),
    Example("sylvite certificate bus.example.com 10.0.0.7 --out /etc/sylvite/api", "For a name and an address", exit_code=74),
)  # fmt: skip


@command("certificate", examples=EXAMPLES)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("api"), metavar="PATH", help="PATH.crt and PATH.key [api]."
)
@click.option("--days", type=int, default=365, metavar="N", help="How long it is valid [365].")
@pass_options
def certificate(options: GlobalOptions, names: tuple[str, ...], out: Path, days: int) -> None:
    """Make a key and a certificate for `sylvite api`, signed by itself.

    NAMEs are the names and addresses under which it will be asked; without any, those of this machine. Who asks has to be
    given the certificate, or to be told to believe it.
    """
    from sylvite.auth.certificates import make_certificate

    wanted = names or (socket.gethostname(), *LOCAL)
    made = make_certificate(wanted, days, datetime.now(UTC))
    key, public = out.with_name(f"{out.name}.key"), out.with_name(f"{out.name}.crt")
    for path in (key, public):
        if os.path.lexists(path):
            raise InvalidSetting("out", str(path), "is there already, and is left as it is; move it away, or say --out")
    _write(key, made.key, 0o600)
    _write(public, made.certificate, 0o644)
    if options.json:
        shown = {"certificate": str(public), "key": str(key), "names": list(wanted), "fingerprint": made.fingerprint}
        write_json(shown)
        return
    click.echo(f"{public} and {key}, for {', '.join(wanted)}, valid for {days} days")
    click.echo(f"SHA-256 {made.fingerprint}")
    if not options.quiet:
        click.echo(f"now: sylvite api --listen 0.0.0.0:8000 --certificate {public} --key {key}", err=True)
        click.echo(f"and: curl --cacert {public} https://{wanted[0]}:8000/healthz", err=True)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is new: nobody else has made it meanwhile, or put a link in its place."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
