"""The local cloud: every server is a real host on this machine, with its own address and its own
sshd."""

from savanna_engine.cloud.local.driver import LocalCloud

__all__ = ["LocalCloud"]
