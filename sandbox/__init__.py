"""The sandbox: runs untrusted network sources in resource-limited, single-use Docker containers.

What the rest of the project uses: :class:`~sandbox.job.Job` goes in, an
:class:`~sandbox.outcome.Outcome` comes out, through an :class:`~sandbox.executor.Executor`.

This file imports nothing, so that ``sandbox.guest`` costs nothing to import inside a container.
"""
