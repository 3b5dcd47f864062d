"""The command line: `sylvite`.  One module per command, imported only when that command is run."""
