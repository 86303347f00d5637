"""A small certificate authority: enough for tests and for a mesh without an authority of its own.

Each leaf names one role twice: as ``spiffe://savanna/<role>``, by which servers know who calls
(https://spiffe.io/docs/latest/spiffe-about/spiffe-concepts), and as the DNS name
``<role>.savanna``, by which clients know that they reached the right service, whatever its address.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROLES = ("api", "conductor", "scheduler", "engine", "plugin", "simulator", "envoy", "user")
"""Who takes part: the services, the proxy before them, and who calls the public API."""

STANDS_IN = {"envoy": ("conductor", "scheduler", "engine", "plugin")}
"""Roles that a proxy stands in for: its leaf has their DNS names too, for those who call by it."""

DOMAIN = "savanna"
_CLOCKS_APART = datetime.timedelta(hours=1)
"""Leaves are valid from a while ago, for machines whose clocks are behind."""


class CertificateError(Exception):
    """Certificates that can not be made; the text says what to do."""


@dataclass(frozen=True)
class Authority:
    """A key that signs, and the certificate that others trust."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def check(*, hosts: Iterable[str], days: Iterable[int], now: datetime.datetime) -> None:
    """Raise ``CertificateError`` for names and times that no certificate can have."""
    for each in hosts:
        _general_name(each)
    for number in days:
        _after(now, number)


def make_authority(folder: Path, *, days: int, now: datetime.datetime) -> Authority:
    """Give the authority of a folder, ``ca.pem`` and ``ca.key``; made when there is none.

    Raises ``CertificateError`` when what is there can not be used.
    """
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    if certificate_file.exists() or key_file.exists():
        return _read_authority(certificate_file, key_file, now)
    authority = _sign_itself(days, now)
    _write(folder, "ca", authority.key, authority.certificate)
    return authority


def _sign_itself(days: int, now: datetime.datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Savanna authority")])
    certificate = (
        _begun(name, name, key.public_key(), key.public_key(), now)
        .not_valid_after(_after(now, days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def replace_authority(folder: Path, *, days: int, now: datetime.datetime) -> Authority:
    """Make a new authority; ``ca.pem`` also holds the former ones, so that their leaves are trusted
    until they are renewed.

    Raises ``CertificateError`` when there is none to replace.
    """
    certificate_file, key_file = folder / "ca.pem", folder / "ca.key"
    _read_authority(certificate_file, key_file, now)
    known = x509.load_pem_x509_certificates(certificate_file.read_bytes())
    former = [each for each in known if each.not_valid_after_utc > now]
    authority = _sign_itself(days, now)
    _write(folder, "ca", authority.key, authority.certificate, *former)
    return authority


def hosts_of(folder: Path, role: str) -> list[str]:
    """Give the further names and addresses in a role's leaf; none where there is no leaf."""
    file = folder / f"{role}.pem"
    if not file.exists():
        return []
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise CertificateError(
            f"{file} can not be read ({error}): remove it, and name its hosts with --host"
        ) from error
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    own = {f"{each}.{DOMAIN}" for each in ROLES}
    return [*addresses, *(n for n in names.get_values_for_type(x509.DNSName) if n not in own)]


def make_leaf(
    folder: Path,
    authority: Authority,
    role: str,
    *,
    days: int,
    now: datetime.datetime,
    hosts: Iterable[str] = (),
) -> None:
    """Write ``<role>.pem`` and ``<role>.key``, in place of former ones.

    ``hosts`` are further names and addresses under which the service is reached. It ends with its
    authority at the latest.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/{role}"),
        *(x509.DNSName(f"{each}.{DOMAIN}") for each in (role, *STANDS_IN.get(role, ()))),
        *map(_general_name, hosts),
    ]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, role)])
    issuer = authority.certificate
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _begun(subject, issuer.subject, key.public_key(), authority.key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .not_valid_after(min(_after(now, days), issuer.not_valid_after_utc))
        .sign(authority.key, hashes.SHA256())
    )
    _write(folder, role, key, certificate)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
) -> x509.CertificateBuilder:
    # By these, two authorities of one name are told apart while one takes over from the other.
    issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_APART)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(issued_by, critical=False)
    )


def _after(now: datetime.datetime, days: int) -> datetime.datetime:
    try:
        return now + datetime.timedelta(days=days)
    except OverflowError as error:
        raise CertificateError(f"{days} days are too many: give fewer") from error


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    try:
        if not host:
            raise UnicodeError("nothing")
        # Names with letters of other alphabets have a form in ASCII, by which they are asked for.
        return x509.DNSName(host.encode("idna").decode())
    except UnicodeError as error:
        raise CertificateError(f"{host!r} is neither an address nor a name of a host") from error


def _read_authority(certificate_file: Path, key_file: Path, now: datetime.datetime) -> Authority:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(
            f"the authority in {certificate_file.parent} can not be used ({error}): put back both "
            "ca.pem and ca.key, or remove both for a new authority, whose leaves others do not know"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != (
        certificate.public_key()
    ):
        raise CertificateError(
            f"{key_file} is not the key of {certificate_file}: put back the pair that belongs "
            "together, or remove both for a new authority"
        )
    if certificate.not_valid_after_utc <= now:
        raise CertificateError(
            f"{certificate_file} ended on {certificate.not_valid_after_utc:%Y-%m-%d}: remove it "
            f"and {key_file.name} for a new authority, and give its ca.pem to every service"
        )
    return Authority(key, certificate)


def _write(
    folder: Path,
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *certificates: x509.Certificate,
) -> None:
    """Write key and certificate, each whole or not at all: a running service may read them."""
    folder.mkdir(parents=True, exist_ok=True)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for file, content, mode in (
        (folder / f"{name}.key", private, 0o600),
        (folder / f"{name}.pem", b"".join(map(_pem, certificates)), 0o644),
    ):
        scratch = file.with_name(f".{file.name}.new")
        scratch.unlink(missing_ok=True)
        with os.fdopen(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as out:
            out.write(content)
        scratch.replace(file)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
