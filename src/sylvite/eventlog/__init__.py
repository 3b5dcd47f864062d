"""The event log: bytes on disk.  `EventLog` appends and syncs, `History` reads, `Cursors` remember readers."""
