"""The typed client of the public API: ``Client``, and what it gives back."""

from savanna_client.client import Client
from savanna_client.journal import OPERATION_ENDED, ends_operation
from savanna_client.output import JOB_ENDED
from savanna_client.tls import Tls

__all__ = ["JOB_ENDED", "OPERATION_ENDED", "Client", "Tls", "ends_operation"]
