"""`sylvite config explain`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.config_files import Node, config_options, load_config
from sylvite.cli.config_show import value_text
from sylvite.cli.output import table, write_json
from sylvite.cli.template import printable

EXAMPLES = (
    Example("sylvite config explain timeout", "What is it for, and which file says so?"),
    Example("sylvite config explain --node minion", "All options of a minion"),
)


DEFAULT_CHARACTERS = 30


@command("explain", examples=EXAMPLES)
@click.argument("key", required=False)
@config_options
@pass_options
def explain(options: GlobalOptions, key: str | None, path: Path | None, node: Node | None) -> None:
    """Explain an option: value, default, what it is for.

    KEY is its name in the file; without one, all options are listed. An option of Salt that has no meaning here is told with the reason.
    """
    from sylvite.daemons.options import explaining

    chosen, loaded = load_config(path, node)
    if key is None:
        _list(options, loaded)
        return
    found = explaining.explain(loaded, key)
    if found is not None:
        if options.json:
            write_json(found)
        else:
            _tell(found)
        return
    reason = explaining.explain_unused(key)
    if reason is None:
        raise click.UsageError(_no_such_option(key, chosen, loaded))
    if options.json:
        write_json({"name": key, "unused": reason})
    else:
        click.echo(f"{printable(key)} is an option of Salt that has no meaning here: {reason}")


def _tell(found: Any) -> None:
    click.echo(f"{found.name}: {value_text(found.value)}")
    click.echo(f"  {found.text}")
    rows = [("must be", found.expected), ("default", value_text(found.default))]
    rows += [("said by", f"{printable(place)}: {value_text(value)}") for place, value in found.said]
    if found.origin == "computed":
        rows.append(("computed", "from root_dir" if found.name != "id" else "from the name of this machine"))
    if found.unlike_salt:
        rows.append(("not as Salt", found.unlike_salt))
    for title, text in rows:
        click.echo(f"  {title:12}{text}")


def _list(options: GlobalOptions, loaded: Any) -> None:
    from sylvite.daemons.options import explaining
    from sylvite.daemons.options.node import fields_of

    names = sorted(field.encode_name for field in fields_of(loaded.options))
    found = [each for name in names if (each := explaining.explain(loaded, name)) is not None]
    if options.json:
        write_json(found)
        return
    rows = [(each.name, _cut(value_text(each.default)), each.text) for each in found]
    for line in table(rows, ("OPTION", "DEFAULT", "WHAT")):
        click.echo(line)


def _cut(text: str) -> str:
    return text if len(text) <= DEFAULT_CHARACTERS else f"{text[: DEFAULT_CHARACTERS - 3]}..."


def _no_such_option(key: str, node: Node, loaded: Any) -> str:
    from sylvite.daemons.options.node import fields_of

    names = [field.encode_name for field in fields_of(loaded.options)]
    close = difflib.get_close_matches(key, names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"a {node} has no option {key!r}{hint}"
