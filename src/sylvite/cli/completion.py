"""`sylvite completion`: the script that a shell needs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from sylvite.cli.command import Example, command

EXAMPLES = (
    Example("""eval "$(sylvite completion bash)\"""", "In this bash; put it in ~/.bashrc for all"),
    Example("sylvite completion zsh > _sylvite", "For zsh, in a folder of $fpath"),
    Example("sylvite completion fish > sylvite.fish", "For fish, in ~/.config/fish/completions"),
)


@command("completion", examples=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell."""
    from sylvite.cli.main import COMPLETE_VARIABLE, PROGRAM, sylvite

    kind = get_completion_class(shell)
    assert kind is not None
    # click's own `source` would start bash to ask for its version; the script says by itself what it needs.
    script = kind(sylvite, {}, PROGRAM, COMPLETE_VARIABLE)
    click.echo(script.source_template % script.source_vars())
