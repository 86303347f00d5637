"""What a plugin author needs, with the conformance suite."""
