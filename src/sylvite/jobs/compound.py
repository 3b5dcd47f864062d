"""Compound targets: conditions with letters, joined by `and`, `or`, `not` and parentheses.

    webserv* and G@os:Debian or E@web-dc1-srv.*
    ( ms-1 or G@id:ms-3 ) and not N@old

    G@ grain   P@ grain_pcre   E@ pcre   L@ list   S@ ipcidr   N@ nodegroup   no letter: glob

Words are separated by blanks, parentheses too. `not` binds before `and`, that before `or`. `G` and `P` may have
a delimiter of their own before the @: `G|@url|http://*`.  A target may also be given as a list of its words, so
that one can hold a blank.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from sylvite.core.grammar import PATTERN_STEPS_MAX
from sylvite.errors import InvalidPattern, InvalidTarget
from sylvite.jobs.matchers import Condition, Matcher, by_glob, by_grain, by_list, by_network, by_regex

DEPTH_MAX = 30
WORDS_MAX = 1000
CHARACTERS_MAX = 1024 * 1024
"""Of all words: a list of ids is one of them."""
OPERATORS = ("and", "or", "not", "(", ")")
_letter = re.compile(r"([A-Z])([^\w\s@])?@(.*)", re.DOTALL).fullmatch
_with_blanks = re.compile(r"\S+").finditer
NOT_HERE = {
    "I": "there is no pillar here; target a grain: G@",
    "J": "there is no pillar here; target a grain: P@",
    "R": "ranges need a range server, which is not used here; target a list: L@, or a nodegroup: N@",
}

Nodegroups = Mapping[str, str | Sequence[str]]


class Word(NamedTuple):
    """`start`: where it stands in the text of the target."""

    text: str
    start: int


class Compound(NamedTuple):
    """`words`: with each nodegroup replaced by what it stands for, as minions get it, who know no nodegroups."""

    condition: Condition
    words: tuple[str, ...]


def parse_compound(target: str | Sequence[str], nodegroups: Nodegroups, delimiter: str) -> Compound:
    """Raises InvalidTarget: it cannot be read; the error points at the place."""
    parser = _Parser(Source(target), nodegroups, delimiter, (), _Spent())
    condition = parser.whole()
    return Compound(condition, tuple(parser.resolved))


def parse_nodegroup(name: str, nodegroups: Nodegroups, delimiter: str) -> Compound:
    """Raises InvalidTarget: there is none of this name, or it cannot be read, or it leads back to itself."""
    parser = _Parser(Source([f"N@{name}"]), nodegroups, delimiter, (), _Spent())
    condition = parser.whole()
    return Compound(condition, tuple(parser.resolved))


class Source:
    """The text of a target and the words it is cut into."""

    def __init__(self, target: str | Sequence[str]) -> None:
        """Raises InvalidTarget: too long."""
        self.is_list = not isinstance(target, str)
        self.text = target if isinstance(target, str) else " ".join(target)
        if len(self.text) > CHARACTERS_MAX:
            raise InvalidTarget(self.text, 0, f"a target has at most {CHARACTERS_MAX} characters")
        if isinstance(target, str):
            self.words = [Word(found[0], found.start()) for found in _with_blanks(target)]
        else:
            starts = [0]
            for word in target:
                starts.append(starts[-1] + len(word) + 1)
            self.words = [Word(word, start) for word, start in zip(target, starts, strict=False) if word.strip()]


class _Spent:
    """What all of a target has taken, nodegroups included: they may be written twice within each other."""

    def __init__(self) -> None:
        self.words = self.steps = self.depth = 0


class _Parser:
    """A parser by precedence: or, and, not, condition."""

    def __init__(
        self, source: Source, nodegroups: Nodegroups, delimiter: str, inside: tuple[str, ...], spent: _Spent
    ) -> None:
        """`inside`: the nodegroups that led here."""
        self._source, self._nodegroups, self._delimiter = source, nodegroups, delimiter
        self._inside, self._spent = inside, spent
        self._at = 0
        self.resolved: list[str] = []

    # -- Words -------------------------------------------------------------------------------------------------------

    @property
    def _next(self) -> Word:
        words = self._source.words
        return words[self._at] if self._at < len(words) else Word("", len(self._source.text))

    def _take(self) -> Word:
        word = self._next
        self._at += 1
        self._spent.words += 1
        if self._spent.words > WORDS_MAX:
            self._fail(word, f"a target has at most {WORDS_MAX} words, with those of its nodegroups")
        return word

    def _take_if(self, *texts: str) -> Word | None:
        if self._next.text not in texts:
            return None
        word = self._take()
        self.resolved.append(word.text)
        return word

    def _fail(self, word: Word, reason: str, offset: int = 0) -> NoReturn:
        where = f"in nodegroup {' > '.join(self._inside)}: " if self._inside else ""
        raise InvalidTarget(self._source.text, word.start + offset, where + reason)

    # -- Grammar -----------------------------------------------------------------------------------------------------

    def whole(self) -> Condition:
        if not self._source.words:
            self._fail(self._next, "a target is missing; such as: web* and G@os:Debian")
        if self._inside and self._is_plain_list():
            return self._alternatives()
        found = self._or()
        following = self._next
        if following.text == ")":
            self._fail(following, "there is no '(' for this one")
        if following.text:
            self._fail(following, f"{_shown(following)} is not expected here; join conditions with 'and' or 'or'")
        return found

    def _is_plain_list(self) -> bool:
        """A nodegroup may be a list of conditions without any operator: each of them is enough."""
        words = self._source.words
        return self._source.is_list and not any(word.text in OPERATORS for word in words)

    def _alternatives(self) -> Condition:
        conditions: list[Condition] = []
        while self._at < len(self._source.words):
            if conditions:
                self.resolved.append("or")
            conditions.append(self._condition(self._take()))
        return _joined(conditions, any)

    def _or(self) -> Condition:
        conditions = [self._and()]
        while self._take_if("or"):
            conditions.append(self._and())
        return _joined(conditions, any)

    def _and(self) -> Condition:
        conditions = [self._not()]
        while self._take_if("and"):
            conditions.append(self._not())
        return _joined(conditions, all)

    def _not(self) -> Condition:
        word = self._take_if("not")
        if word is None:
            return self._operand()
        inner = self._deeper(word, self._not)
        matches = inner.matches
        return Condition(lambda minion: not matches(minion), needs_grains=inner.needs_grains)

    def _operand(self) -> Condition:
        if word := self._take_if("("):
            inner = self._deeper(word, self._or)
            if not self._take_if(")"):
                self._fail(self._next, "a ')' is missing here" + self._glued(")"))
            return inner
        word = self._next
        if not word.text:
            self._fail(word, "the target ends here, and a condition is missing")
        if word.text in OPERATORS:
            self._fail(word, f"{_shown(word)} is not expected here; a condition is missing before it")
        return self._condition(self._take())

    def _glued(self, sign: str) -> str:
        """Return a hint where the last word ends with what should be a word of its own."""
        last = self._source.words[self._at - 1].text
        return f"; parentheses stand alone, with blanks around them: {last[:-1]} {sign}" if last.endswith(sign) else ""

    def _deeper(self, word: Word, read: Callable[[], Condition]) -> Condition:
        self._spent.depth += 1
        if self._spent.depth > DEPTH_MAX:
            self._fail(word, f"a target is at most {DEPTH_MAX} deep, with its nodegroups")
        found = read()
        self._spent.depth -= 1
        return found

    # -- Conditions --------------------------------------------------------------------------------------------------

    def _condition(self, word: Word) -> Condition:
        found = _letter(word.text)
        if found is not None and found[1] == "N" and not found[2]:
            return self._deeper(word, lambda: self._nodegroup(word, found[3]))
        self.resolved.append(word.text)
        try:
            condition = self._plain(word) if found is None else self._lettered(word, found[1], found[2], found[3])
        except InvalidPattern as error:
            self._fail(word, f"{_shown(word)}: {error.reason}", 0 if found is None else found.start(3))
        self._spent.steps += condition.steps
        if self._spent.steps > PATTERN_STEPS_MAX:
            self._fail(word, "with the patterns before it, this one could take too long; use fewer repeats such as .*")
        return condition

    def _plain(self, word: Word) -> Condition:
        """Raises InvalidPattern."""
        if word.text.startswith("(") or word.text.endswith(")"):
            self._fail(word, "parentheses stand alone, with blanks around them")
        if word.text.lower() in OPERATORS:
            self._fail(word, f"write {word.text.lower()!r} in small letters")
        return by_glob(word.text)

    def _lettered(self, word: Word, letter: str, delimiter: str | None, text: str) -> Condition:
        """Raises InvalidPattern."""
        if delimiter is not None and letter not in "GPIJ":
            self._fail(word, f"only G@ and P@ may have a delimiter of their own, not {letter}@", 1)
        if letter not in "GPELS":
            self._fail(word, NOT_HERE.get(letter, f"there is no {letter}@; there are G@, P@, E@, L@, S@ and N@"))
        if letter in "GP":
            return by_grain(text, delimiter or self._delimiter, regex=letter == "P")
        if letter == "L":
            return by_list(text.split(","))
        return by_regex(text) if letter == "E" else by_network(text)

    def _nodegroup(self, word: Word, name: str) -> Condition:
        if name in self._inside:
            self._fail(word, f"nodegroup {name!r} leads back to itself", 2)
        definition = self._nodegroups.get(name)
        if definition is None:
            close = difflib.get_close_matches(name, self._nodegroups, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            self._fail(word, f"there is no nodegroup {name!r}{hint}", 2)
        inner = _Parser(Source(definition), self._nodegroups, self._delimiter, (*self._inside, name), self._spent)
        condition = inner.whole()
        self.resolved += ["(", *inner.resolved, ")"]
        return condition


def _shown(word: Word) -> str:
    return repr(word.text if len(word.text) <= 60 else f"{word.text[:57]}...")


def _joined(conditions: Sequence[Condition], join: Callable[[Iterable[bool]], bool]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    each: list[Matcher] = [condition.matches for condition in conditions]
    needs_grains = any(condition.needs_grains for condition in conditions)
    return Condition(lambda minion: join(matches(minion) for matches in each), needs_grains=needs_grains)
