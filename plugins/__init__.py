"""Benchmarks: what to search and how to score. :mod:`plugins.contract` says what a plugin gives."""
