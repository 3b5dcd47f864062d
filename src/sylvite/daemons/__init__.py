"""Processes: configuration, signals, the order of start and stop."""
