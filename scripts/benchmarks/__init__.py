"""Benchmarks: pairs of ways to do one job, measured in turn, each in a process of its own."""
