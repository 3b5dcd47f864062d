"""Both ends of the link, joined in memory."""

from __future__ import annotations

from sylvite.auth.enrolment import Asking
from sylvite.auth.keyring_values import Identity, MinionId
from sylvite.auth.keys import make_pair
from sylvite.core.event import pack_data
from sylvite.errors import ConnectionLost
from sylvite.link.messages import Verdict
from sylvite.link.minion_session import Arrived, Judge, Judgement, MinionSession
from sylvite.link.uplink import Load, Uplink

MASTER = make_pair()
MINION = make_pair()
NONCE = bytes(range(32))
NOW_S = 1_795_473_994
JID = "20261123224631804181"


def let_in(asking: Asking) -> Judgement:
    identity = Identity(MinionId(asking.id), 1, asking.public.fingerprint)
    return Judgement(Verdict("accepted", 1), identity)


def load(offset: int, tag: str = "myco/x", epoch: int = 5) -> Load:
    return Load(epoch, offset, pack_data({"tag": tag, "data": {"n": offset}}))


class Ends:
    """A minion's uplink, and a session of its master for each connection; `stored` is what the master has synced."""

    def __init__(self, judge: Judge = let_in) -> None:
        self.uplink = Uplink(MINION, "alpha")
        self.judge = judge
        self.stored: list[tuple[int, int]] = []
        self.refusals: list[str] = []
        self.connect()

    def connect(self) -> None:
        self.session = MinionSession("master", MASTER.fingerprint, NONCE, self.judge, lambda _, jid: jid == JID)
        self.uplink.connect(MASTER.fingerprint)

    def exchange(self, *, answer: bool = True) -> None:
        """Let both say all that they have to say."""
        while True:
            down, up = b"".join(self.session.take_bytes()), b"".join(self.uplink.take_bytes())
            if not (down or up):
                return
            self.session.feed(up, NOW_S)
            while self.session.arrived:
                arrived = self.session.arrived.popleft()
                self.keep(arrived)
                if answer:
                    self.session.taken(arrived)
            try:
                self.uplink.feed(down)
            except ConnectionLost:
                self.uplink.lost()
                return

    def keep(self, arrived: Arrived) -> None:
        """As a broker does: what has the same source and seq is kept once."""
        self.refusals += [refusal.reason for refusal in arrived.refusals]
        for block in arrived.blocks:
            key = (arrived.source_epoch, block.seq)
            if key not in self.stored:
                self.stored.append(key)
