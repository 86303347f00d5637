"""What can go wrong with a cloud: one screen."""

from __future__ import annotations


class CloudError(Exception):
    """Base of all errors of cloud drivers; ``reason`` is machine-readable, the text is for the
    user."""

    reason = "CLOUD_ERROR"
    retryable = False


class CloudUnavailable(CloudError):
    """The cloud did not answer, or its reply was lost: what was asked for may or may not have
    happened."""

    reason = "CLOUD_UNAVAILABLE"
    retryable = True


class QuotaExceeded(CloudError):
    """The cloud refuses to give more."""

    reason = "QUOTA_EXCEEDED"


class CloudRefused(CloudError):
    """The cloud refuses the request itself, for example an unknown flavor; the text says what to
    change."""

    reason = "CLOUD_REFUSED"


class ServerFailed(CloudError):
    """The cloud made the server and then gave it up; the text carries the cloud's reason."""

    reason = "SERVER_FAILED"
