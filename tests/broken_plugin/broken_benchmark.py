"""A plugin that cannot be imported: a library of its own is missing."""

import a_library_that_nobody_installed  # noqa: F401


class BrokenBenchmark:
    name = "broken-benchmark"
