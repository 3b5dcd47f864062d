"""Listen on a bus, and fire onto it: see `sylvite.compat.event`."""

from sylvite.compat.event import (
    LocalClientEvent,
    MasterEvent,
    MinionEvent,
    SaltEvent,
    get_event,
    get_master_event,
)
from sylvite.compat.fired import NamespacedEvent, StateFire, fire_args
from sylvite.compat.matching import SALT, TAGPARTER, TAGS, tagify
from sylvite.compat.packing import TAGEND
from sylvite.compat.state_errors import SUB_EVENT

__all__ = [
    "SALT",
    "SUB_EVENT",
    "TAGEND",
    "TAGPARTER",
    "TAGS",
    "LocalClientEvent",
    "MasterEvent",
    "MinionEvent",
    "NamespacedEvent",
    "SaltEvent",
    "StateFire",
    "fire_args",
    "get_event",
    "get_master_event",
    "tagify",
]
