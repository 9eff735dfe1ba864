"""The tasks that every guest image has. A plugin ships its own, see :mod:`sandbox.job`."""
