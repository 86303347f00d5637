"""Who asks: one port, two ways to know."""
