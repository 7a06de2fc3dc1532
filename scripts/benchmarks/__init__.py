"""Benchmarks: pairs of ways to do a job, measured in turn, each in its own process."""
