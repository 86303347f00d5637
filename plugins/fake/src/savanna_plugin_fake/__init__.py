"""The shipped test double of a plugin."""
