"""What lies in deploy/ is checked by what will read it."""
