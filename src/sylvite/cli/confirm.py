"""Confirm: ask before something is destroyed."""

from __future__ import annotations

import sys

import click


def confirm(question: str, *, yes: bool) -> None:
    """Return where the answer is yes.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.Abort: the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to answer on: add -y, or see with --dry-run")
    click.confirm(question, abort=True, err=True)
