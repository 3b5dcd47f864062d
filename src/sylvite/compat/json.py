"""`salt.utils.json`: the standard library's, with text as it is rather than escaped."""

from __future__ import annotations

import json
from typing import IO, Any


def dumps(obj: Any, **kwargs: Any) -> str:
    kwargs.setdefault("ensure_ascii", False)
    return json.dumps(obj, **kwargs)


def dump(obj: Any, fp: IO[str], **kwargs: Any) -> None:
    kwargs.setdefault("ensure_ascii", False)
    json.dump(obj, fp, **kwargs)


def loads(s: str | bytes, **kwargs: Any) -> Any:
    return json.loads(s, **kwargs)


def load(fp: IO[str], **kwargs: Any) -> Any:
    return json.load(fp, **kwargs)
