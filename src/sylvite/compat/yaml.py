"""`salt.utils.yaml`: PyYAML's safe half."""

from __future__ import annotations

from importlib import import_module
from typing import IO, Any


def safe_load(stream: str | bytes | IO[str], Loader: object = None) -> Any:  # noqa: N803 - the signature is Salt's
    """Return what a document says.  It is always read safely, whatever `Loader` is."""
    del Loader
    yaml: Any = import_module("yaml")  # It has no types.
    return yaml.safe_load(stream)


load = safe_load


def safe_dump(data: Any, stream: IO[str] | None = None, **kwargs: Any) -> Any:
    """Write a document; without `stream`, return it."""
    yaml: Any = import_module("yaml")
    return yaml.dump(
        data, stream, Dumper=yaml.CSafeDumper, **{"allow_unicode": True, "default_flow_style": False, **kwargs}
    )


dump = safe_dump
