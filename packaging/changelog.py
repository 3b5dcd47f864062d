"""Join changes/ into a new section of CHANGELOG.md, and delete the files: `python packaging/changelog.py 0.1.0`."""

from __future__ import annotations

import datetime as dt
import re
import sys
from pathlib import Path

KINDS = {"feature": "New", "change": "Changed", "removal": "Removed", "fix": "Fixed"}
EMPTY = "Nothing is released yet.\n"


def section(version: str, day: dt.date, changes: list[Path]) -> str:
    """Return the new section: the changes by kind, then by number.

    Raises:
        ValueError: a file whose name is not NUMBER.KIND.md or NUMBER.NAME.KIND.md.
    """
    found: dict[str, list[tuple[int, str]]] = {kind: [] for kind in KINDS}
    for path in changes:
        named = re.fullmatch(rf"(\d+)(?:\.[a-z-]+)?\.({'|'.join(KINDS)})\.md", path.name)
        if named is None:
            raise ValueError(
                f"{path.name}: a change is named NUMBER.KIND.md or NUMBER.NAME.KIND.md, with KIND one of {', '.join(KINDS)}"
            )
        found[named[2]].append((int(named[1]), " ".join(path.read_text().split())))
    parts = [f"## {version} ({day})\n"]
    for kind, title in KINDS.items():
        if found[kind]:
            lines = "".join(f"- {text} (#{number})\n" for number, text in sorted(found[kind]))
            parts.append(f"### {title}\n\n{lines}")
    return "\n".join(parts)


def main(folder: Path, version: str, day: dt.date) -> None:
    """Raises ValueError: nothing was changed."""
    changes = sorted((folder / "changes").glob("*.md"))
    new = section(version, day, changes)
    changelog = folder / "CHANGELOG.md"
    head, separator, rest = changelog.read_text().replace(EMPTY, "").partition("\n## ")
    changelog.write_text(f"{head.rstrip()}\n\n{new}{separator}{rest}")
    for path in changes:
        path.unlink()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("give the version, such as 0.1.0")
    main(Path(__file__).resolve().parents[1], sys.argv[1], dt.datetime.now(dt.UTC).date())
