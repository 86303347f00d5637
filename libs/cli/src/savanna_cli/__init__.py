"""The savanna command."""
