"""The buses that are compared: one file for each."""
