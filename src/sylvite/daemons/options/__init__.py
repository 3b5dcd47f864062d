"""Options: what can be set of a master and a minion, read from YAML files with Salt's names.

master.py and minion.py have the options, node.py those of both, unused.py Salt's others. reading.py reads the files,
computing.py fills in what follows from the rest, explaining.py says what is what.
"""
