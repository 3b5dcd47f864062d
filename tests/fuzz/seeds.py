"""Make the seeds of the corpus anew: `python -m tests.fuzz.seeds`.  What has failed once stays."""

from __future__ import annotations

from tests.fuzz.target import CORPUS
from tests.fuzz.targets import TARGETS


def main() -> None:
    for name, target in TARGETS.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, content in target.seeds().items():
            (folder / seed).write_bytes(content)


if __name__ == "__main__":
    main()
