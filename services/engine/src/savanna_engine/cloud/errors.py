"""What can go wrong with a cloud: one screen."""

from __future__ import annotations

from savanna_kit.errors import SavannaError


class CloudError(SavannaError):
    """Base of all errors of cloud drivers; the text is for the user, the reason is the name of the
    class in capitals."""

    retryable = False


class CloudUnavailable(CloudError):
    """The cloud did not answer, or its reply was lost: what was asked for may or may not have
    happened."""

    retryable = True


class QuotaExceeded(CloudError):
    """The cloud refuses to give more."""


class CloudRefused(CloudError):
    """The cloud refuses the request itself, for example an unknown flavor; the text says what to
    change."""


class ServerFailed(CloudError):
    """The cloud made the server and then gave it up; the text carries the cloud's reason."""
