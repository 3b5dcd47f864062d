"""The link between a minion and its master."""
