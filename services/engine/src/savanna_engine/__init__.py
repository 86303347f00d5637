"""Does: one atomic step at a time, in clouds and on hosts."""
