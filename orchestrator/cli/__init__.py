"""The command line, ``llmatic-orch``."""
