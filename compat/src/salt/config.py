"""See `sylvite.compat.config`."""

from sylvite.compat.config import (
    DEFAULT_MASTER_OPTS,
    DEFAULT_MINION_OPTS,
    client_config,
    get_id,
    master_config,
    minion_config,
)

__all__ = ["DEFAULT_MASTER_OPTS", "DEFAULT_MINION_OPTS", "client_config", "get_id", "master_config", "minion_config"]
