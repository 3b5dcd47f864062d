"""`sylvite doctor`: what could be wrong on this node, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import click
import msgspec

from sylvite.cli import checks, color, exit_codes
from sylvite.cli.checks import Finding, Node
from sylvite.cli.checks_nodes import check_nodes
from sylvite.cli.color import Painter, wants_color
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.connect import find_bus
from sylvite.cli.output import write_json
from sylvite.cli.template import printable

EXAMPLES = (
    Example("sylvite doctor", "Check everything"),
    Example("sylvite doctor --json", "For programs: a list of findings"),
)
_COLORS: dict[Literal["ok", "warn", "FAIL"], str] = {"ok": color.GREEN, "warn": color.YELLOW, "FAIL": color.RED}


@command("doctor", examples=EXAMPLES)
@pass_options
def doctor(options: GlobalOptions) -> int:
    """Check this node, with a cure for each thing that is wrong.

    Exit code 1 where something fails; what could become a problem is a warning.
    """
    node = Node(Path(find_bus(options)))
    painter = Painter(enabled=wants_color(options.color, sys.stdout))
    findings: list[Finding] = []
    for check in CHECKS:
        for finding in check(node):
            findings.append(finding)
            if not options.json:
                _print(finding, painter)
    if options.json:
        write_json([msgspec.to_builtins(finding) for finding in findings])
    failed = any(finding.state == "FAIL" for finding in findings)
    return exit_codes.NO if failed else exit_codes.DONE


def _print(finding: Finding, painter: Painter) -> None:
    state = painter.paint(f"{finding.state:4}", _COLORS[finding.state])
    click.echo(f"{state}  {finding.name:8}  {printable(finding.text)}")
    if finding.cure:
        click.echo(f"{'':16}-> {printable(finding.cure)}")


CHECKS: tuple[Callable[[Node], list[Finding]], ...] = (
    checks.check_program,
    checks.check_socket,
    checks.check_broker,
    checks.check_log,
    checks.check_disk,
    checks.check_files,
    checks.check_clock,
    check_nodes,
)
