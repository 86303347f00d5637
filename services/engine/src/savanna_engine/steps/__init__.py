"""Atomic steps: each looks first, then makes, and can be done twice."""
