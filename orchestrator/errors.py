"""The base of the search's own errors."""


class OrchestratorError(Exception):
    """Something a person has to decide about. Says what was expected, found, and what to do."""
