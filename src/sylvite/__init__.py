"""Sylvite: an event bus for infrastructure."""
