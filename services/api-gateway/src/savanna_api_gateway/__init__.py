"""Speaks: REST and the public gRPC API."""
