"""The process skeleton that every service shares."""
