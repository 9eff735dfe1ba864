"""The tasks that every guest image has. A plugin ships its own, see :mod:`sandbox.job`."""

#: How many classes a classifier names for an image, the likeliest first, where there are so many.
RANKS = 5
