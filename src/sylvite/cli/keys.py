"""`sylvite keys`: which minions are let in."""

from __future__ import annotations

import click

from sylvite.cli.command import LazyGroup


@click.group(
    "keys",
    cls=LazyGroup,
    lazy={
        "list": ("sylvite.cli.keys_list:list_", "List keys, those that wait first."),
        "show": ("sylvite.cli.keys_list:show", "Show all that is known of a minion's keys."),
        "accept": ("sylvite.cli.keys_moves:accept", "Let minions in."),
        "reject": ("sylvite.cli.keys_moves:reject", "Turn minions away that wait."),
        "revoke": ("sylvite.cli.keys_moves:revoke", "Take accepted keys back, at once and for ever."),
        "delete": ("sylvite.cli.keys_moves:delete", "Forget keys, so that their ids are free."),
        "finger": ("sylvite.cli.keys_finger:finger", "Show fingerprints: the master's, or those of minions."),
        "token": ("sylvite.cli.keys_token:token", "Make a token that lets one minion in, once."),
        "rollover": ("sylvite.cli.keys_rollover:rollover", "Give the master another key, while its minions go on."),
        "renew": ("sylvite.cli.keys_rollover:renew", "Give this minion another key, while it goes on."),
        "gen": ("sylvite.cli.keys_gen:gen", "Make a pair of keys: the master's, or one for a minion."),
    },
)
def keys() -> None:
    """Look after keys: which minions are let in."""
