"""Which tags a filter lets through, and that no filter runs away."""

from __future__ import annotations

import fnmatch
import re
import signal
import subprocess
import sys
import textwrap

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core.pattern import (
    PATTERN_CHARACTERS_MAX,
    PATTERNS_MAX,
    STEPS_MAX,
    Filter,
    compile_glob,
    compile_regex,
    glob_steps,
    parse_pattern,
    parse_patterns,
    read_regex,
)
from sylvite.core.tag import TAG_BYTES_MAX
from sylvite.errors import InvalidPattern

TAGS = ["", "a", "b", "ab", "ba", "a/b", "b/a", "aab", "a*b"]
TEXTS = st.lists(st.sampled_from(["a", "b", "a/", "/b", "ab"]), max_size=2).map(tuple)
GLOBS = st.lists(st.sampled_from(["a*", "*b", "?", "[ab]", "*/*", "a**b"]), max_size=2).map(tuple)
REGEXES = st.lists(st.sampled_from(["a", "a*b$", "[ab]/?", "(a|b)b", "$"]), max_size=2).map(tuple)


def matched(filter_: Filter) -> list[str]:
    matches = filter_.matcher()
    return [tag for tag in TAGS if matches(tag)]


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        (Filter(), TAGS),
        (Filter(startswith=("a",)), ["a", "ab", "a/b", "aab", "a*b"]),
        (Filter(startswith=("aa", "b")), ["b", "ba", "b/a", "aab"]),
        (Filter(endswith=("b",)), ["b", "ab", "a/b", "aab", "a*b"]),
        (Filter(find=("/",)), ["a/b", "b/a"]),
        (Filter(regex=("a+b",)), ["ab", "aab"]),
        (Filter(regex=("b",)), ["b", "ba", "b/a"]),
        (Filter(fnmatch=("a*b",)), ["ab", "a/b", "aab", "a*b"]),
        (Filter(fnmatch=("a[*]b",)), ["a*b"]),
        (Filter(exact=("a*b", "b")), ["b", "a*b"]),
        (Filter(startswith=("b",), exact=("ab",)), ["b", "ab", "ba", "b/a"]),
        (Filter(startswith=("a",), exclude=("a/", "aa*")), ["a", "ab", "a*b"]),
        (Filter(exclude=("*",)), []),
    ],
)
def test_each_kind_of_match_is_salts(filter_: Filter, expected: list[str]) -> None:
    """Several are alternatives; what is excluded wins."""
    assert matched(filter_) == expected


@given(TEXTS, TEXTS, TEXTS, REGEXES, GLOBS, TEXTS, TEXTS)
@settings(deadline=None, max_examples=100)
def test_a_filter_agrees_with_asking_each_pattern(
    startswith: tuple[str, ...],
    endswith: tuple[str, ...],
    find: tuple[str, ...],
    regex: tuple[str, ...],
    globs: tuple[str, ...],
    exact: tuple[str, ...],
    exclude: tuple[str, ...],
) -> None:
    matches = Filter(startswith, endswith, find, regex, globs, exact, exclude).matcher()
    asked = startswith + endswith + find + regex + globs + exact
    for tag in TAGS:
        wanted = (
            not asked
            or any(tag.startswith(text) for text in startswith)
            or any(tag.endswith(text) for text in endswith)
            or any(text in tag for text in find)
            or any(re.match(text, tag) is not None for text in regex)
            or any(fnmatch.fnmatchcase(tag, text) for text in globs)
            or tag in exact
        )
        assert matches(tag) is (wanted and not any(tag.startswith(text) for text in exclude))


def test_a_typed_pattern_is_a_beginning_or_a_shell_pattern() -> None:
    assert parse_pattern("salt/") == Filter(startswith=("salt/",))
    assert parse_pattern("salt/job/*/ret/*") == Filter(fnmatch=("salt/job/*/ret/*",))
    assert parse_patterns(["a", "b?", "[c]"], exclude=["d"], where="true") == Filter(
        startswith=("a",), fnmatch=("b?", "[c]"), exclude=("d",), where="true"
    )


def test_only_plain_beginnings_are_for_a_router_to_look_up() -> None:
    assert Filter(startswith=("a", "b"), where="true").prefixes() == ("a", "b")
    assert Filter().prefixes() is None
    for field in FIELDS[1:]:
        assert msgspec.structs.replace(of(field, "b"), startswith=("a",)).prefixes() is None


FIELDS = ["startswith", "endswith", "find", "regex", "fnmatch", "exact", "exclude"]


def of(field: str, *patterns: str) -> Filter:
    return msgspec.structs.replace(Filter(), **{field: patterns})


@pytest.mark.parametrize("field", FIELDS)
def test_the_number_and_the_length_of_patterns_have_limits(field: str) -> None:
    text = "a" * PATTERN_CHARACTERS_MAX
    assert of(field, text).matcher()(text) is (field != "exclude")
    with pytest.raises(InvalidPattern, match="512 characters"):
        of(field, text + "a").matcher()
    assert of(field, *["a"] * PATTERNS_MAX).matcher()("a") is (field != "exclude")
    with pytest.raises(InvalidPattern, match="256 patterns"):
        of(field, *["a"] * (PATTERNS_MAX + 1)).matcher()


def test_the_number_of_patterns_is_that_of_all_kinds() -> None:
    half = ("a",) * (PATTERNS_MAX // 2)
    Filter(startswith=half, exclude=half).matcher()
    with pytest.raises(InvalidPattern, match="256 patterns"):
        Filter(startswith=half, exclude=half, find=("a",)).matcher()


# -- Regular expressions that cannot run away ----------------------------------------------------------------------

USED = [
    r"salt/job/\d+/ret/.*",
    r"^salt/(job|run|key)/.*(web|db)\d+",
    r"salt/(?:job|run)/(\d{20})/(ret|new)(/(.+))?$",
    r".*foo.*bar.*baz",
    r"(.*)/(.*)/(.*)",
    r"[a-z0-9_-]+/[a-z0-9_-]+/[a-z0-9_-]+",
    r"(?:\d{1,3}\.){3}\d{1,3}",
    r"(?i)salt/minion/[^/]+/start",
    r"(?P<kind>key|job)/(?P<rest>.*)",
    r"salt/beacon/.*/(?:load|disk|mem)/.{0,40}$",
    "", "|", "(?:)*", "()*", "a{1000}",
]  # fmt: skip

RUNAWAY = [
    "a?" * 30 + "a" * 30,
    "(?:ab|ab)" * 40 + "c",
    "(?:ab|abab)" * 30 + "c",
    "x{0,16}" * 12 + "y",
    "(a|aa)*b",
    "(a+)+b",
    "(a*)*b",
    "(?:a?){40}b",
    "(?:a{1,2}){40}b",
    "(?:(?:a|b)?c?){20}d",
    "a*" * 8 + "b",
    "a*a*a*a{64}b",
    ".*.*.*.*b",
    "a*?a*?a*?a*?b",
    "(?:(?:x{500}){500}){500}",
    "(?>a*a*a*a*)b",
    "(?:a*a*a*a*b)*+",
    "[a\U00010000\U00010002\U00010004\U00010006\U00010008]*" * 3 + "b",
]


@pytest.mark.parametrize("pattern", USED)
def test_patterns_that_people_use_pass(pattern: str) -> None:
    assert compile_regex(pattern).pattern == pattern


@pytest.mark.parametrize("pattern", RUNAWAY)
def test_patterns_that_run_away_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern, match="a match could take"):
        compile_regex(pattern)


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(a)?(?(1)b|c)", "(?!)", "(?:(?=a))*"]
)
def test_what_has_no_bound_on_its_steps_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPattern, match="references to groups and look-around"):
        compile_regex(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["(", "[", "*", "a**", "(?P<a>x)(?P<a>y)", "a{2,1}", "a{99999999999}", "\\", "[[a]", "[a--b]", "a(?i)", "(?L)a"],
)
def test_what_is_none_or_ambiguous_is_refused(pattern: str) -> None:
    """What `re` only warns of, too: it could mean something else one day."""
    with pytest.raises(InvalidPattern, match="no regular expression"):
        compile_regex(pattern)


def test_nesting_costs_no_stack() -> None:
    with pytest.raises(InvalidPattern):
        compile_regex("(" * 5000 + ")" * 5000)


@pytest.mark.parametrize(
    ("pattern", "steps"),
    [
        ("abc", 3), ("[abc]", 1), (".", 1), ("a|bcd", 6), ("a?b", 1 + 2), ("a{3}b", 3 + 1), ("a{2,5}b", 5 + 4),
        ("a*b", 128 + 129), ("a*a*b", 128 + 129 * (128 + 129)), ("(a)", 4), ("a{200}", 200), ("a{200,}", 200),
    ],
)  # fmt: skip
def test_steps_are_counted_from_the_parse_tree(pattern: str, steps: int) -> None:
    """Each character is a step; what stands behind a choice is tried once for each."""
    assert read_regex(pattern).steps(TAG_BYTES_MAX) == steps


def test_a_regular_expression_has_a_limit_of_steps() -> None:
    """At the limit it passes, a step above it does not."""
    steps = read_regex("a*a*b").steps(TAG_BYTES_MAX)
    read_regex("a*a*b", steps_max=steps)
    with pytest.raises(InvalidPattern, match="33,281 steps"):
        read_regex("a*a*b", steps_max=steps - 1)


def test_a_longer_text_takes_more_steps() -> None:
    """Three repeats without end pass for a tag, and not for a text of 1024 characters."""
    read_regex(".*a.*b.*c")
    with pytest.raises(InvalidPattern):
        read_regex(".*a.*b.*c", characters=1024)


def test_all_patterns_of_a_filter_share_one_limit() -> None:
    """One that uses half of it may stand there twice, and not three times; so may shell patterns."""
    half = ".*a.*b.*c"
    assert STEPS_MAX // 3 < read_regex(half).steps(TAG_BYTES_MAX) <= STEPS_MAX // 2
    Filter(regex=(half, half)).matcher()
    with pytest.raises(InvalidPattern, match="steps together"):
        Filter(regex=(half, half, half)).matcher()
    glob = "*" + "a" * (PATTERN_CHARACTERS_MAX - 1)
    fit = STEPS_MAX // glob_steps(glob)
    Filter(fnmatch=(glob,) * fit).matcher()
    with pytest.raises(InvalidPattern, match="steps together"):
        Filter(fnmatch=(glob,) * (fit + 1)).matcher()


def test_what_passes_is_matched_in_time() -> None:
    """The worst patterns that pass, on the worst tags: measured in a process that can be stopped.

    A step takes some 10 ns; the limit is far above what a busy machine needs, and far below what a pattern takes that
    runs away.
    """
    program = """
        import time
        from sylvite.core.pattern import compile_glob, read_regex
        worst = ["a*a*a*ab", "a?" * 21 + "b", "(?:ab|abab)" * 20 + "c", "(?:a{1,2}){20}b", "(a?){20}b", "(a??){20}b",
                 "(?:a)*(?:a)*(?:a)*b", "(?i)[^b]*[^b]*[^b]*b", "x{0,16}" * 5 + "y", "(?>a*a*a*)b"]
        steps = sum(read_regex(pattern).steps(256) for pattern in worst)
        start = time.process_time()
        for pattern in worst:
            compiled = read_regex(pattern).compiled
            for tag in ("a" * 256, "ab" * 128, "x" * 256):
                compiled.match(tag)
        for glob in ("*a" * 255 + "b", "*" + "a" * 200 + "b", "*?" * 200 + "b", "*[a-z]" * 80 + "b", "*a*" * 100 + "[b]"):
            compile_glob(glob).match("a" * 256)
        print(steps, time.process_time() - start)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120, check=True
    )
    steps, seconds = done.stdout.split()
    assert float(seconds) < 200e-9 * int(steps)


PIECES = st.sampled_from(
    [
        "a",
        "b",
        "(",
        ")",
        "(?:",
        "|",
        "*",
        "+",
        "?",
        "{2}",
        "{1,3}",
        "{0,}",
        "[ab]",
        "[^a]",
        ".",
        "\\d",
        "^",
        "$",
        "(?>",
        "*+",
        "\\1",
        "(?=",
        "(?i)",
        "\\",
        "[",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=20))
@settings(deadline=None, max_examples=250)
def test_any_text_is_a_pattern_that_ends_or_is_refused(pattern: str) -> None:
    """No other error than InvalidPattern; and what passes agrees with `re`."""
    try:
        compiled = compile_regex(pattern)
    except InvalidPattern:
        return
    assert read_regex(pattern).steps(TAG_BYTES_MAX) <= STEPS_MAX
    for tag in TAGS:
        assert (compiled.match(tag) is None) == (re.match(pattern, tag) is None)


@given(st.text("ab*?[]!-", max_size=12), st.text("ab-", max_size=8))
@settings(deadline=None, max_examples=150)
def test_a_shell_pattern_agrees_with_a_naive_one(pattern: str, tag: str) -> None:
    """Stars in a row are one; else as Python's own fnmatch says."""
    assert (compile_glob(pattern).match(tag) is not None) is fnmatch.fnmatchcase(tag, pattern)


def test_stars_in_a_row_are_one() -> None:
    assert compile_glob("*" * 511 + "b").pattern == compile_glob("*b").pattern


def test_without_counting_a_pattern_runs_away() -> None:
    """Negative control: with the limit taken out, a process that matches dies of its limit of one second."""
    program = f"""
        import resource
        from sylvite.core.pattern import read_regex
        compiled = read_regex({RUNAWAY[1]!r}, steps_max=2**62).compiled
        resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
        compiled.match("ab" * 40 + "d")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], timeout=120, check=False)
    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
