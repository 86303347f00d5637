"""The decision core: events in, commands out; no clock, no network, no chance of its own."""
