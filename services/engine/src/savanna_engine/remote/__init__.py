"""Hosts: the port and its channels."""
