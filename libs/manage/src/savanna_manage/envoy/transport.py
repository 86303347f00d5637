"""TLS, upstream and downstream: certificates from files that Envoy reads anew when they change.

Envoy does so only for what it is told by its secret discovery service, which may be a file: so each
certificate and each authority has a small file of its own beside the main one
(https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from savanna_manage.envoy.typed import extension, typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna_manage.envoy.description import FrontTls, MeshTls

_TLS = "envoy.extensions.transport_sockets.tls.v3"
_SOCKET = "envoy.transport_sockets.tls"
_LEAST = {"tls_minimum_protocol_version": "TLSv1_2"}


@dataclass
class Secrets:
    """The files in which Envoy is told of certificates, collected while the rest is made."""

    folder: str
    """Where they will lie."""

    files: dict[str, Any] = field(default_factory=dict)
    """What stands in each, by its name."""

    def certificate(self, name: str, certificate: str, key: str) -> dict[str, Any]:
        """Tell of a certificate; gives the reference to it."""
        return self._told(
            f"{name}-certificate",
            tls_certificate={
                "certificate_chain": {"filename": certificate},
                "private_key": {"filename": key},
            },
        )

    def authority(self, name: str, authority: str) -> dict[str, Any]:
        """Tell of an authority that is trusted; gives the reference to it."""
        return self._told(
            f"{name}-authority", validation_context={"trusted_ca": {"filename": authority}}
        )

    def _told(self, name: str, **secret: object) -> dict[str, Any]:
        self.files[f"{name}.yaml"] = {
            "resources": [typed(f"{_TLS}.Secret", name=name, **secret)],
        }
        path = f"{self.folder.rstrip('/')}/{name}.yaml"
        return {"name": name, "sds_config": {"path_config_source": {"path": path}}}


def upstream(secrets: Secrets, tls: MeshTls, role: str, *, alpn: str) -> dict[str, Any]:
    """Call as Envoy, and take only servers of a role for an answer, whatever their address."""
    return extension(
        _SOCKET,
        f"{_TLS}.UpstreamTlsContext",
        common_tls_context={
            "tls_params": _LEAST,
            # A gRPC server closes a connection on which it was not named.
            "alpn_protocols": [alpn],
            "tls_certificate_sds_secret_configs": [
                secrets.certificate("mesh", tls.certificate, tls.key)
            ],
            **_trusted(secrets, tls, (role,)),
        },
        sni=f"{role}.savanna",
    )


def inner(secrets: Secrets, tls: MeshTls, callers: Sequence[str]) -> dict[str, Any]:
    """Let in only who shows a certificate of one of these roles."""
    return extension(
        _SOCKET,
        f"{_TLS}.DownstreamTlsContext",
        common_tls_context={
            "tls_params": _LEAST,
            "alpn_protocols": ["h2"],
            "tls_certificate_sds_secret_configs": [
                secrets.certificate("mesh", tls.certificate, tls.key)
            ],
            **_trusted(secrets, tls, callers),
        },
        require_client_certificate=True,
    )


def front(secrets: Secrets, name: str, tls: FrontTls, *, alpn: Sequence[str]) -> dict[str, Any]:
    """Show users a certificate; with an authority for clients, let in only whom it knows."""
    context: dict[str, Any] = {
        "tls_params": _LEAST,
        "alpn_protocols": list(alpn),
        "tls_certificate_sds_secret_configs": [secrets.certificate(name, tls.certificate, tls.key)],
    }
    if tls.clients is not None:
        context["validation_context_sds_secret_config"] = secrets.authority(name, tls.clients)
    return extension(
        _SOCKET,
        f"{_TLS}.DownstreamTlsContext",
        common_tls_context=context,
        require_client_certificate=tls.clients is not None,
    )


def _trusted(secrets: Secrets, tls: MeshTls, roles: Sequence[str]) -> dict[str, Any]:
    names = [
        {"san_type": "URI", "matcher": {"exact": f"spiffe://savanna/{each}"}} for each in roles
    ]
    return {
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": names},
            "validation_context_sds_secret_config": secrets.authority("mesh", tls.authority),
        }
    }
