"""One process with every service in it."""
