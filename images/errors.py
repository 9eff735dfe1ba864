"""The error of everything that builds images or brings up an engine."""


class ImageError(Exception):
    """An image or an engine cannot be had. Says what was expected, found, and what to do."""
