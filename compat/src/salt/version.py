"""See `sylvite.compat.version`."""

from sylvite.compat.version import SALT_VERSION

__version__ = SALT_VERSION
