"""Clients: one core without I/O (`core.py`), a blocking and an asyncio shell around it."""
