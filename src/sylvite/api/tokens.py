"""Tokens: secrets that let a program in over HTTP.  What is kept of one is its hash, never the secret.

The text of a token is `syl1_<id>_<secret>_<check>`, so that a scanner for secrets knows it; one that a log-in of Salt's API makes is
40 or 64 hexadecimal digits, as its clients expect.  The store is a SQLite file in the data directory; the command line and the api
process both write to it, and each sees within `LOOK_S` what the other has done.
Source: spec/reliability.md 6.1.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import secrets
import sqlite3
import zlib
from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from sylvite.api.scopes import SCOPES_MAX, Grant, Scope, parse_scope
from sylvite.errors import InvalidInput, NotAuthenticated, SylviteError
from sylvite.jobs.database import Kind, check_folder, failures, open_to_write, transaction

NAME = "tokens.db"
PREFIX = "syl1"
SECRET_BYTES = 32
ID_CHARACTERS = 8
TOKEN_CHARACTERS_MAX = 128
TOKENS_MAX = 10_000
OWNER = re.compile(r"[\x21-\x7e]{1,128}")
"""A part of the sender of events."""
LIFE_S = 12 * 3600.0
"""Salt's `token_expire`."""
LIFE_S_MAX = 366 * 24 * 3600.0
LOOK_S = 0.5
LINK, SESSION = "link", "console"
"""Back ends of the console: a link that counts once and is no token, and the session of a browser."""
USED_NS = 60 * 1_000_000_000
"""How exactly it is kept when a token was used last: a disk that is written for every request would be the slowest part."""

_KIND = Kind(
    application=0x53594C54,  # "SYLT"
    version=1,
    schema="""CREATE TABLE tokens (
        id TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32), owner TEXT NOT NULL, backend TEXT NOT NULL,
        scopes TEXT NOT NULL, perms TEXT NOT NULL, made_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL, used_ns INTEGER NOT NULL, note TEXT NOT NULL
    ) WITHOUT ROWID;""",
    cure="move it away: all tokens are then void, and new ones can be made",
)


class NoSuchToken(SylviteError):
    code = "no_such_token"

    def __init__(self, id_: str) -> None:
        super().__init__(f"there is no token {id_[:40]!r}; `sylvite tokens list` shows those that there are")
        self.id = id_


class Secret:
    """The text of a token.  It shows itself as `***`; `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "***"

    def reveal(self) -> str:
        return self._text


class Token(msgspec.Struct, frozen=True):
    """What is known of a token.  Times are nanoseconds since 1970; `used_ns` is 0 for one that was never used.

    `backend`: what said who its owner is.  `perms`: what he may do in Salt's API, in Salt's form.
    """

    id: str
    owner: str
    backend: str
    scopes: tuple[Scope, ...]
    made_ns: int
    until_ns: int
    used_ns: int = 0
    note: str = ""
    perms: tuple[Any, ...] = ()

    def shown(self) -> dict[str, object]:
        """Return it as commands and the interface show it."""
        found: dict[str, object] = msgspec.to_builtins(msgspec.structs.replace(self, scopes=()))
        return {**found, "scopes": [str(scope) for scope in self.scopes], "perms": list(self.perms)}


class TokenCopy(msgspec.Struct, frozen=True, array_like=True):
    """What another master needs of a token, to let its holder in.  `perms`: as JSON."""

    hash: bytes
    owner: str
    backend: str
    scopes: tuple[str, ...]
    perms: str
    made_ns: int
    until_ns: int
    note: str


class _Kept(NamedTuple):
    token: Token
    hash: bytes
    grant: Grant


_is_id = re.compile(r"[a-z2-7]{8}(?:\.[a-z2-7]{8})?").fullmatch
_salt_text = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def _new_text(id_: str) -> str:
    # No underscore in it: that is what parts the text.
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=").replace("_", ".")
    return _text_of(id_, secret)


def _text_of(id_: str, secret: str) -> str:
    body = f"{PREFIX}_{id_}_{secret}"
    return f"{body}_{zlib.crc32(body.encode()):08x}"


def _hash_of(text: str) -> bytes | None:
    """Return what is kept of a token with this text; None where it is none."""
    if len(text) > TOKEN_CHARACTERS_MAX or not text.isascii():
        return None
    if _salt_text.fullmatch(text):
        return hashlib.sha256(text.encode()).digest()
    body, _, check = text.rpartition("_")
    prefix, _, secret = body.partition("_")
    if prefix != PREFIX or check != f"{zlib.crc32(body.encode()):08x}":
        return None
    return hashlib.sha256(secret.encode()).digest()


class TokenStore:
    """The tokens of one data directory.  It belongs to one thread.  Every call may raise JobStoreFailed, DiskFull."""

    def __init__(self, folder: Path) -> None:
        """Raises InvalidSetting: there is no such folder."""
        check_folder(folder)
        self._path = folder / NAME
        self._connection: sqlite3.Connection = open_to_write(self._path, _KIND)
        self._known: dict[str, _Kept] = {}
        self._by_hash: dict[bytes, _Kept] = {}
        self._version = -1
        self.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def make(
        self,
        owner: str,
        scopes: Sequence[Scope],
        now_ns: int,
        *,
        life_s: float = LIFE_S,
        backend: str = "",
        note: str = "",
    ) -> tuple[Token, Secret]:
        """Make a token; its text is shown this once.

        Raises:
            InvalidInput: no owner, no scopes, too many of them, or a life that is too long.
        """
        if not 0 < len(scopes) <= SCOPES_MAX:
            raise InvalidInput(f"a token has 1 to {SCOPES_MAX} scopes, not {len(scopes)}")
        if not 0 < life_s <= LIFE_S_MAX:
            raise InvalidInput(f"a token lives up to {LIFE_S_MAX / 86400:g} days, not {life_s:g} s")
        id_ = _new_id()
        text = _new_text(id_)
        token = Token(id_, owner, backend, tuple(scopes), now_ns, now_ns + int(life_s * 1e9), note=note[:200])
        return self._add(token, text, now_ns), Secret(text)

    def log_in(
        self, owner: str, backend: str, perms: Sequence[Any], scopes: Sequence[Scope], now_ns: int,
        *, life_s: float = LIFE_S, digits: int = 40,
    ) -> tuple[Token, Secret]:  # fmt: skip
        """Make a token for somebody who has shown who he is, in the form of Salt's; `digits` is 40, or 64 for an eauth token.

        Raises:
            InvalidInput: a name that cannot be the sender of events.
        """
        text = secrets.token_hex(digits // 2)
        until_ns = now_ns + int(min(life_s, LIFE_S_MAX) * 1e9)
        token = Token(_new_id(), owner, backend, tuple(scopes), now_ns, until_ns, perms=tuple(perms))
        return self._add(token, text, now_ns), Secret(text)

    def begin_session(self, of: Token, now_ns: int) -> tuple[Token, Secret]:
        """Make the session of a browser for whoever has shown a token: it can do what that can, and ends with it.

        Raises:
            NotAuthenticated: that is a session itself.
        """
        if of.backend == SESSION:
            raise NotAuthenticated("this is the session of a browser, and no token")
        return self._session(of, f"{of.id}.{_new_id()}", min(of.until_ns, now_ns + int(LIFE_S * 1e9)), now_ns)

    def redeem(self, code: str, now_ns: int) -> tuple[Token, Secret]:
        """Make the session of a browser for whoever has a link, which counts no more.

        Raises:
            NotAuthenticated: it was used, or its time is over, or it is none: the answer is the same.
        """
        self.refresh()
        hash_ = _hash_of(code)
        kept = self._by_hash.get(hash_) if hash_ is not None else None
        over = "this link does not count: it was used, or its time is over; `sylvite console` makes another"
        if kept is None or kept.token.until_ns <= now_ns or kept.token.backend != LINK:
            raise NotAuthenticated(over)
        try:
            self.revoke(kept.token.id)
        except NoSuchToken:
            # Another process was a moment quicker.
            raise NotAuthenticated(over) from None
        return self._session(kept.token, _new_id(), now_ns + int(LIFE_S * 1e9), now_ns)

    def _session(self, of: Token, id_: str, until_ns: int, now_ns: int) -> tuple[Token, Secret]:
        text = _new_text(id_)
        token = msgspec.structs.replace(
            of, id=id_, backend=SESSION, made_ns=now_ns, until_ns=until_ns, used_ns=0, note=""
        )
        return self._add(token, text, now_ns), Secret(text)

    def _add(self, token: Token, text: str, now_ns: int) -> Token:
        if not OWNER.fullmatch(token.owner):
            raise InvalidInput("a token needs an owner: a name of up to 128 characters of ASCII without blanks")
        hash_ = _hash_of(text)
        assert hash_ is not None
        self._insert(token.id, _copy(token, hash_), now_ns)
        return token

    def _insert(self, id_: str, copy: TokenCopy, now_ns: int) -> None:
        with self._writing():
            self._connection.execute("DELETE FROM tokens WHERE until_ns <= ?", (now_ns,))
            (count,) = self._connection.execute("SELECT count(*) FROM tokens").fetchone()
            if count >= TOKENS_MAX:
                raise InvalidInput(f"there are {TOKENS_MAX} tokens; revoke some that are not needed")
            scopes = msgspec.json.encode(copy.scopes).decode()
            self._connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
                (id_, copy.hash, copy.owner, copy.backend, scopes, copy.perms, copy.made_ns, copy.until_ns, copy.note),
            )
        self._load()

    def copies(self, now_ns: int) -> dict[str, TokenCopy]:
        """Return what other masters need of those that count, by id.  A link counts once, and where it was made."""
        found = {id_: kept for id_, kept in self._known.items() if kept.token.backend != LINK}
        return {id_: _copy(kept.token, kept.hash) for id_, kept in found.items() if kept.token.until_ns > now_ns}

    def ids(self) -> set[str]:
        """Return the ids of all that are there, also of those that cannot be read."""
        with failures(self._path, _KIND):
            return {id_ for (id_,) in self._connection.execute("SELECT id FROM tokens")}

    def learn(self, id_: str, copy: TokenCopy, now_ns: int) -> None:
        """Take in a token of another master; one that is known stays as it is.

        Raises:
            InvalidInput: it is none, or there is no room.
        """
        if id_ in self._known:
            return
        is_sound = _is_id(id_) and OWNER.fullmatch(copy.owner) and copy.backend != LINK and len(copy.hash) == 32
        if not is_sound or copy.hash in self._by_hash or len(copy.note) > 200 or len(copy.scopes) > SCOPES_MAX:
            raise InvalidInput(f"what another master says of the token {id_[:40]!a} cannot be")
        _read_rights(msgspec.json.encode(copy.scopes), copy.perms)
        self._insert(id_, copy, now_ns)

    def check(self, text: str, now_ns: int) -> tuple[Token, Grant]:
        """Return whose token this is, and what it lets him do.

        Raises:
            NotAuthenticated: it is none, was revoked, or its time is over: the answer is the same.
        """
        # What another process has just made counts, and what it has taken back does not. Where that cannot be looked at, what is known holds.
        with contextlib.suppress(SylviteError):
            self.refresh()
        hash_ = _hash_of(text)
        # Where the time that this takes tells of anything, it is of the hash.
        kept = self._by_hash.get(hash_) if hash_ is not None else None
        if kept is None or kept.token.until_ns <= now_ns or kept.token.backend == LINK:
            raise NotAuthenticated("this token does not count: it is none, was revoked, or its time is over")
        if now_ns - kept.token.used_ns > USED_NS:
            self._used(kept, now_ns)
        return kept.token, kept.grant

    def held(self, id_: str, now_ns: int) -> tuple[Token, Grant]:
        """Return the token with this id, and what it lets its holder do.  Raises NotAuthenticated: as `check`."""
        kept = self._known.get(id_)
        if kept is None or not self.still_counts(id_, now_ns):
            raise NotAuthenticated("the token does not count any more")
        return kept.token, kept.grant

    def still_counts(self, id_: str, now_ns: int) -> bool:
        kept = self._known.get(id_)
        return kept is not None and kept.token.until_ns > now_ns

    def all(self, now_ns: int) -> list[Token]:
        """Return those that count, the newest first."""
        found = [kept.token for kept in self._known.values() if kept.token.until_ns > now_ns]
        return sorted(found, key=lambda token: token.made_ns, reverse=True)

    def revoke(self, id_: str) -> None:
        """Take it back, and the sessions that were begun with it.  Raises NoSuchToken."""
        with self._writing():
            if not self._connection.execute("DELETE FROM tokens WHERE id = ?", (id_,)).rowcount:
                raise NoSuchToken(id_)
            self._connection.execute("DELETE FROM tokens WHERE substr(id, 1, length(?1) + 1) = ?1 || '.'", (id_,))
        self._load()

    def refresh(self) -> bool:
        """See what other processes have done; return whether that was anything."""
        with failures(self._path, _KIND):
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return False
        self._load()
        self._version = version  # Not before: what could not be read is read the next time.
        return True

    def _used(self, kept: _Kept, now_ns: int) -> None:
        token = msgspec.structs.replace(kept.token, used_ns=now_ns)
        self._known[token.id] = self._by_hash[kept.hash] = kept._replace(token=token)
        # That a token cannot be said to be used must not keep its holder out: a full disk would lock out those who could help.
        with contextlib.suppress(SylviteError), self._writing():
            self._connection.execute("UPDATE tokens SET used_ns = ? WHERE id = ?", (now_ns, token.id))

    @contextlib.contextmanager
    def _writing(self) -> Generator[None]:
        with failures(self._path, _KIND), transaction(self._connection):
            yield

    def _load(self) -> None:
        with failures(self._path, _KIND):
            rows = self._connection.execute(
                "SELECT id, hash, owner, backend, scopes, perms, made_ns, until_ns, used_ns, note FROM tokens"
            ).fetchall()
        known: dict[str, _Kept] = {}
        for id_, hash_, owner, backend, scopes, perms, made_ns, until_ns, used_ns, note in rows:
            before = self._known.get(id_)
            if before is not None and before.hash == hash_:
                known[id_] = before
                continue
            try:
                read, may = _read_rights(scopes, perms)
            except InvalidInput:
                continue  # One that cannot be read counts for nothing; the others do.
            known[id_] = _Kept(
                Token(id_, owner, backend, read, made_ns, until_ns, used_ns, note, may), hash_, Grant(read)
            )  # fmt: skip
        self._known, self._by_hash = known, {kept.hash: kept for kept in known.values()}


def _read_rights(scopes: str | bytes, perms: str) -> tuple[tuple[Scope, ...], tuple[Any, ...]]:
    """Raises InvalidInput: they cannot be read."""
    try:
        read = tuple(map(parse_scope, msgspec.json.decode(scopes, type=list[str])))
        return read, tuple(msgspec.json.decode(perms, type=list[Any]))
    except msgspec.DecodeError as error:
        raise InvalidInput(f"what a token lets its holder do cannot be read: {error}") from error


def _copy(token: Token, hash_: bytes) -> TokenCopy:
    perms = msgspec.json.encode(token.perms).decode()
    scopes = tuple(str(scope) for scope in token.scopes)
    return TokenCopy(
        hash_, token.owner, token.backend, scopes, perms, token.made_ns, token.until_ns, token.note
    )  # fmt: skip


def _new_id() -> str:
    return base64.b32encode(secrets.token_bytes(5)).decode().lower()
