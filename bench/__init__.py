"""Benchmarks: what a launch costs, and what a request costs; docs/benchmarks.md says how to read
them."""
