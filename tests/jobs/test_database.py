"""The files of the jobs, as SQLite opens them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from sylvite.jobs.database import Kind, open_to_write

KIND = Kind(application=1, version=1, schema="CREATE TABLE words (word TEXT);", cure="move it away")
OTHER = """
import sys
from pathlib import Path
from sylvite.jobs.database import open_to_write
from tests.jobs.test_database import KIND
open_to_write(Path(sys.argv[1]), KIND).execute("INSERT INTO words VALUES (?)", (sys.argv[2],))
"""


def test_who_opens_a_file_twice_sees_on_what_others_write(tmp_path: Path) -> None:
    """Whoever closes a file of its own loses its locks of it; the last one without a lock takes the write-ahead log away."""
    path = tmp_path / "words.db"
    with closing(open_to_write(path, KIND)) as first, closing(open_to_write(path, KIND)):
        seen: list[list[str]] = []
        for word in ("a", "b", "c"):
            subprocess.run([sys.executable, "-c", OTHER, str(path), word], check=True)
            seen.append([word for (word,) in first.execute("SELECT word FROM words ORDER BY word")])
    assert seen == [["a"], ["a", "b"], ["a", "b", "c"]]
