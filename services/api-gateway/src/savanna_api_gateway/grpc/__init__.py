"""The public gRPC API, thin over the core."""
