"""D-06: what the source must not hold, and under which licences the packages of the locks are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.faults.report import control, report

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

MODULES = {
    "pickle", "cPickle", "marshal", "shelve", "dill", "jsonpickle",  # bytes that become code
    "code", "codeop", "runpy",
    "telnetlib", "ftplib", "pty", "commands",
}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__", "input"}
ATTRIBUTES = {
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.Loader", "yaml.CLoader", "yaml.FullLoader",
    "yaml.UnsafeLoader", "os.system", "os.popen", "tempfile.mktemp", "os.tempnam", "subprocess.getoutput",
    "subprocess.getstatusoutput", "ssl._create_unverified_context", "ssl.CERT_NONE", "hashlib.md5", "hashlib.sha1",
    "random.random", "random.randbytes", "random.getrandbits",
}  # fmt: skip
"""The random numbers of `random` can be foretold; where nobody gains by that, `random.Random` says so."""
FLAGS = {"shell": True, "verify": False, "check_hostname": False, "verify_ssl": False}
INVARIANTS = {
    ("sylvite/core/router.py", "key not in self._order"),
    ("sylvite/eventlog/eventlog.py", "segment is self.segments[0]"),
    ("sylvite/eventlog/eventlog.py", "not again or again[0].base <= self.synced"),
}
"""Asserts that are more than what a type checker has to be told: they guard against mistakes of ours, not against input."""

EXCUSED = {
    ("sylvite/functions/module.py", "exec()"), ("sylvite/functions/module.py", "compile()"),
    ("sylvite/link/tls.py", "ssl.CERT_NONE"),
}  # fmt: skip
"""The loader runs modules, which are the operator's own files and checked to be; it compiles what it has checked, and
not what lies there later.  The link asks no authority: it compares the key itself with the pinned ones before a word is said.
"""
LICENCES_TO_SHIP = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "MIT-0", "ISC"}
LICENCES_TO_BUILD = LICENCES_TO_SHIP | {"MPL-2.0"}
LICENCE_OF_CLASSIFIER = {
    "MIT License": "MIT", "BSD License": "BSD-3-Clause", "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0", "Python Software Foundation License": "PSF-2.0",
}  # fmt: skip
LICENCE_WORDS = {"BSD 2-Clause License": "BSD-2-Clause", "MIT License": "MIT", "Apache 2.0": "Apache-2.0"}


def offences(source: str, name: str) -> Iterator[str]:
    """Yield what this module does that none of ours may, with its line."""
    for node in ast.walk(ast.parse(source)):
        for what in _offences_of(node, name):
            if (name, what) not in EXCUSED:
                yield f"{name}:{getattr(node, 'lineno', 0)}: {what}"


def _offences_of(node: ast.AST, name: str) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        case ast.ImportFrom():
            module = node.module or ""
            if module.split(".")[0] in MODULES:
                yield module
            yield from (
                f"{module}.{alias.name}" for alias in node.names if f"{module}.{alias.name}" in ATTRIBUTES
            )  # fmt: skip
        case ast.Call():
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                yield f"{node.func.id}()"
            if _called(node) == "import_module" and any(_text(each) in MODULES for each in node.args):
                yield "a module by its name"
            for keyword in node.keywords:
                if keyword.arg in FLAGS and _is_constant(keyword.value, FLAGS[keyword.arg]):
                    yield f"{keyword.arg}={FLAGS[keyword.arg]}"
        case ast.Attribute():
            if isinstance(node.value, ast.Name) and f"{node.value.id}.{node.attr}" in ATTRIBUTES:
                yield f"{node.value.id}.{node.attr}"
        case ast.ExceptHandler():
            if node.type is None:
                yield "a bare except"
            elif _names_everything(node.type) and not _says_so(node):
                yield "an except for everything that neither raises, nor logs, nor hands the error on"
        case ast.Assert():
            is_ours = name.startswith("sylvite/testing/") or (name, ast.unparse(node.test)) in INVARIANTS
            if not is_ours and not _is_for_types(node.test) and node.col_offset:
                yield f"assert {ast.unparse(node.test)}"
        case _:
            return


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _names_everything(node: ast.expr) -> bool:
    each = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(ast.unparse(one).rpartition(".")[2] in ("Exception", "BaseException") for one in each)


def _says_so(handler: ast.ExceptHandler) -> bool:
    inside = [inner for statement in handler.body for inner in ast.walk(statement)]
    return any(
        isinstance(inner, ast.Raise)
        or (isinstance(inner, ast.Call) and _called(inner) == "exception")
        or (isinstance(inner, ast.Name) and inner.id == handler.name)
        for inner in inside
    )


def _is_for_types(test: ast.expr) -> bool:
    """Say whether it only tells a type checker that something is there, or of what class it is."""
    match test:
        case ast.Compare(ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return True
        case ast.Call(func=ast.Name(id="isinstance")):
            return True
        case _:
            return False


def all_offences() -> list[str]:
    paths = sorted(SOURCE.rglob("*.py"))
    assert len(paths) > 50, "the source was not found"
    return [each for path in paths for each in offences(path.read_text(), path.relative_to(SOURCE).as_posix())]


def test_the_source_holds_nothing_that_runs_what_it_reads() -> None:
    found = all_offences()
    assert not found, "\n".join(found)
    report("D-06", seed=0, runs=len(list(SOURCE.rglob("*.py"))), counters={"offences": len(found)})


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import marshal as m", "import_module('pickle')", "eval(x)",
        "exec(x)", "yaml.load(x)", "from yaml import load", "yaml.load(x, Loader=yaml.Loader)",
        "subprocess.run(x, shell=True)", "os.system(x)", "tempfile.mktemp()", "get(x, verify=False)",
        "try:\n f()\nexcept:\n pass", "try:\n f()\nexcept Exception:\n pass",
        "try:\n f()\nexcept (ValueError, BaseException) as e:\n g()",
        "try:\n f()\nexcept Exception:\n logger.error('no')", "def f(x):\n assert x > 0", "ssl.CERT_NONE",
        "context = ssl._create_unverified_context()", "hashlib.md5(x)",
    ],
)  # fmt: skip
def test_each_of_them_would_be_found(source: str) -> None:
    """Negative control."""
    with pytest.raises(AssertionError):
        report("D-06", seed=0, runs=1, counters={"offences": len([*offences(source, "x.py")])}, without="care")


@pytest.mark.parametrize(
    "source",
    [
        "try:\n f()\nexcept Exception:\n logger.exception('no')", "try:\n f()\nexcept BaseException:\n g()\n raise",
        "try:\n f()\nexcept Exception as error:\n fail(error)",
        "try:\n f()\nexcept OSError:\n pass", "def f(x):\n assert x is not None", "assert HEADER.size == 64",
        "subprocess.run(x, shell=False)", "re.compile(x)", "yaml.CSafeLoader(x)",
    ],
)  # fmt: skip
def test_what_is_usual_is_not(source: str) -> None:
    assert not list(offences(source, "x.py"))


# -- Licences --------------------------------------------------------------------------------------------------------


def locked(lock: str) -> set[str]:
    """Return the names of a lock, without those that are only for other systems."""
    lines = (ROOT / "requirements" / lock).read_text().splitlines()
    named = [re.match(r"([A-Za-z0-9_.-]+)==\S+ ?(;.*)?", line) for line in lines]
    return {found[1] for found in named if found is not None and "win32" not in (found[2] or "")}


def licences_of(name: str) -> set[str]:
    """Return what a package says that it may be used under, each of several alternatives."""
    facts: Any = metadata.metadata(name)  # an email.message.Message, though its type does not say so
    if expression := facts.get("License-Expression"):
        return set(re.split(r" (?:OR|AND) ", str(expression)))
    listed: list[str] = facts.get_all("Classifier") or []
    classifiers = [one.rpartition(" :: ")[2] for one in listed if one.startswith("License")]
    if classifiers:
        return {LICENCE_OF_CLASSIFIER.get(one, one) for one in classifiers}
    text = str(facts.get("License") or _title_of_licence(name)).strip()
    return {LICENCE_WORDS.get(text, text)}


def _title_of_licence(name: str) -> str:
    """Return the first line of the file of a package that has its licence there alone."""
    files = [file for file in metadata.files(name) or [] if file.name.startswith("LICENSE")]
    return next(iter(files[0].read_text().splitlines()), "nothing") if files else "nothing"


@pytest.mark.parametrize(("lock", "allowed"), [("run.lock", LICENCES_TO_SHIP), ("dev.lock", LICENCES_TO_BUILD)])
def test_the_packages_of_a_lock_may_be_used(lock: str, allowed: set[str]) -> None:
    names = locked(lock)
    assert "msgspec" in names
    others = {name: sorted(found - allowed) for name in sorted(names) if (found := licences_of(name)) - allowed}
    assert not others, others
    report("D-06", seed=0, runs=len(names), counters={"other_licences": len(others)})


def test_another_licence_would_be_found() -> None:
    """Negative control: with one taken from the list, the packages that have it are named."""
    with control("D-06", without="one of the licences", match="msgspec"):
        test_the_packages_of_a_lock_may_be_used("run.lock", LICENCES_TO_SHIP - {"BSD-3-Clause"})
