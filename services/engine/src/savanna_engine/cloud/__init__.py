"""Clouds: the port and its drivers."""
