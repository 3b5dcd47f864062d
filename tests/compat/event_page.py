"""Salt's page on events as a table: every command and every snippet, under its heading, and what has to come of it.

The page's own text is in event_page.md.  A row names a block of it, and adds what a reader has to add himself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.docs.blocks import blocks

FILE = Path(__file__).parent / "event_page.md"
Events = tuple[tuple[str, dict[str, Any]], ...]


class Place(NamedTuple):
    """A block of the page: the heading that it stands under, and which of the blocks there it is, from 1 on."""

    heading: str
    number: int

    def __str__(self) -> str:
        return f"{self.heading}-{self.number}".replace(" ", "-")


class Listens(NamedTuple):
    """It listens on the bus of a node; while it does, this is fired there, and then it has printed this, among other things."""

    node: str
    fired: Events
    shown: str


class Fires(NamedTuple):
    """It prints this, ends, and has fired this on the bus of a node; of the data, so much is looked at."""

    node: str
    tag: str
    data: Mapping[str, Any]
    shown: str


class Row(NamedTuple):
    """A block of the page, and what has to come of it.

    `corrected`: typing errors of the page, and what is meant.  `before`, `after`: what a reader has to have said already, and
    what he puts where the page has nothing but a comment, or to see what has come of it.  `then`: the block is a file, which
    its first line says the place of; this line of it is run.  `where_clients_look`: nothing says where the bus is.
    """

    place: Place
    does: Listens | Fires
    corrected: tuple[tuple[str, str], ...] = ()
    before: str = ""
    after: str = ""
    then: str = ""
    where_clients_look: bool = False

    @property
    def text(self) -> str:
        """The block, as it is run."""
        return self._correct(self.before + PAGE[self.place] + self.after)

    @property
    def line(self) -> str:
        """The line that is run, where the block is a file."""
        assert self.then in PAGE[self.place]
        return self._correct(self.then)

    @property
    def is_shell(self) -> bool:
        return LANGUAGES[self.place] == "bash"

    def _correct(self, text: str) -> str:
        for written, meant in self.corrected:
            text = text.replace(written, meant)
        return text


def read_page() -> Iterator[tuple[Place, str, str]]:
    """Yield each block: its place, its language, its text."""
    content = FILE.read_text()
    headings = [
        (content.count("\n", 0, found.start()) + 1, found[1]) for found in re.finditer(r"^#+ (.*)$", content, re.M)
    ]
    found = list(blocks(FILE))
    inside = [range(block.line, block.line + block.text.count("\n") + 1) for block in found]
    real = [(line, text) for line, text in headings if not any(line in lines for lines in inside)]
    counts: dict[str, int] = {}
    for block in found:
        heading = [text for line, text in real if line < block.line][-1]
        counts[heading] = counts.get(heading, 0) + 1
        yield Place(heading, counts[heading]), block.kind, block.text


PAGE = {place: text for place, _, text in read_page()}
LANGUAGES = {place: language for place, language, _ in read_page()}

_CLI, _REST, _PYTHON = "From the CLI", "Remotely via the REST API", "From Python"
_FIRING, _MODULES, _SCRIPTS = "Firing Events", "From Salt execution modules", "From Custom Python Scripts"
TOKEN = "05A3"
"""The token of the page: a real one stands in its place."""
OPENED = PAGE[Place(_PYTHON, 1)].rpartition("data = ")[0]
"""With `event`, which the snippets below it go on with."""
NUMBER: Events = (("my/tag", {"n": 1}),)
AUTH: Events = (("other/tag", {"n": 0}), ("salt/auth", {"act": "accept", "id": "web1"}))
CUSTOM: Events = (("customtag/african/unladen", {"data": "no"}), ("custom/x", {"data": "message for the minion"}))
JID = "20261123224730771814"
MESSAGE = "    print(evdata['data'])\n"

ROWS = (
    Row(
        Place(_CLI, 1),
        Listens("master", NUMBER, 'my/tag\t{\n    "_stamp": "STAMP",\n    "n": 1\n}\n'),
    ),
    Row(
        Place(_REST, 1),
        Listens("master", NUMBER, 'tag: my/tag\ndata: {"data": {"n": 1, "_stamp": "STAMP"}, "tag": "my/tag"}\n\n'),
    ),
    Row(
        Place(_PYTHON, 1),
        Listens("master", NUMBER, "1\n"),
        after="print(data['n'])\n",
    ),
    Row(
        Place(_PYTHON, 2),
        Listens("master", AUTH, "web1\n"),
        before=OPENED,
        after="print(data['id'])\n",
    ),
    Row(
        Place(_PYTHON, 3),
        Listens("master", ((f"salt/job/{JID}/new", {"jid": JID}),), f"salt/job/{JID}/new {JID}\n"),
        before=OPENED,
        after="print(tag, data['jid'])\n",
    ),
    Row(
        Place(_PYTHON, 4),
        Listens("master", AUTH, "{'act': 'accept', 'id': 'web1', '_stamp': 'STAMP'}\n"),
        before=OPENED,
    ),
    Row(
        Place(_PYTHON, 5),
        Listens("master", ((f"salt/job/{JID}/new", {}), (f"salt/job/{JID}/ret/web1", {"return": "pong"})), "pong\n"),
        before="def do_something_with_job_return(data):\n    print(data['return'])\n\n",
    ),
    Row(
        Place(_FIRING, 1),
        Fires("minion", "tag", {"data": "message to be sent in the event"}, "local:\n    True\n"),
    ),
    Row(
        Place(_FIRING, 2),
        Fires(
            "master", "myco/mytag/success", {"cmd": "_minion_event", "data": {"success": True, "message": "It works!"}},
            "local:\n    True\n",
        ),
    ),
    Row(Place(_FIRING, 3), Listens("minion", CUSTOM, "message for the minion\n"), after=MESSAGE),
    Row(
        Place(_FIRING, 4), Listens("minion", CUSTOM, "message for the minion\n"), after=MESSAGE, where_clients_look=True
    ),
    Row(
        Place(_FIRING, 5),
        Fires("minion", "customtag/african/unladen", {"data": "message for the minion"}, "minionname:\n    True\n"),
    ),
    Row(
        Place(_MODULES, 1),
        Fires(
            "master", "myco/my_custom_module/finished", {"data": {"finished": True, "message": "The something is finished!"}},
            "minionname:\n    None\n",
        ),
        # Functions have a dot in their names; with a colon Salt says that there is no such function, and so do we.
        corrected=(("my_custom_module:do_something", "my_custom_module.do_something"),),
        then="salt '*' my_custom_module:do_something",
    ),
    Row(
        Place(_SCRIPTS, 1),
        Fires("master", "myco/event/success", {"data": {"success": True, "message": "It works!"}}, "True\n"),
        # Two evident typing errors of the page.
        corrected=(("called.cmd", "caller.cmd"), ("'myco/event/success'\n", "'myco/event/success',\n")),
        after="    raise SystemExit('it was not sent')\nprint(ret)\n",
    ),
)  # fmt: skip

NAMED = {
    "state.event.runner": Place(_CLI, 1),
    "salt.netapi.rest_cherrypy.app.Events": Place(_REST, 1),
    "SaltEvent": "an object of it reads what is fired",
    "get_event": Place(_PYTHON, 1),
    "sock_dir": Place(_PYTHON, 1),
    "full=True": Place(_PYTHON, 3),
    "iter_events": Place(_PYTHON, 4),
    "wait": Place(_PYTHON, 2),
    "fnmatch": Place(_PYTHON, 5),
    "event.fire": Place(_FIRING, 1),
}
"""Names in the text of the page, and the row that shows them, or the claim (`CLAIMS`)."""

CLAIMS = {
    "an object of it reads what is fired": (
        """\
event = salt.utils.event.SaltEvent('master', opts=opts, sock_dir=opts['sock_dir'])
print(event.fire_event({'n': 1}, 'a/b'), event.get_event(tag='a/b')['n'])
""",
        "True 1\n",
    ),
    "get_event waits for 5 s": (
        """\
import inspect
print(inspect.signature(event.get_event).parameters['wait'].default)
""",
        "5\n",
    ),
    "all events are returned without a tag, and with one those that begin with it": (
        """\
for tag in ('salt/x', 'salt/auth/x', 'y'):
    event.fire_event({'is': tag}, tag)
print(event.get_event()['is'], event.get_event(tag='salt/auth')['is'], event.get_event()['is'])
""",
        "salt/x salt/auth/x y\n",
    ),
    "iter_events does not take wait": (
        """\
try:
    event.iter_events(tag='salt/auth', wait=10)
except TypeError as error:
    print(error)
""",
        "SaltEvent.iter_events() got an unexpected keyword argument 'wait'\n",
    ),
}
"""What the page says in words: a program behind `OPENED`, and what it prints."""


def names_in_the_text() -> list[str]:
    """Return the names that the page has in its text."""
    return [found.strip("`") for found in re.findall(r"^- (.*)$", FILE.read_text(), re.M)]
