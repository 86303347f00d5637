"""Benchmarks: what a launch costs, and what a request costs; docs/benchmarks.md says how to read
them."""

import os

# gRPC would tell of each PostgreSQL process that is started beside its threads.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
