"""Cloud machines: created and destroyed through libcloud, each step an event."""
