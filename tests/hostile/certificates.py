"""Certificates made for a test: self-signed, and one of an authority of its own for the wrong or the right name."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kit.words import utc_now

LIFE = timedelta(days=1)


@dataclass(frozen=True)
class Served:
    """What a TLS server needs, and the authority that a client would have to trust."""

    context: ssl.SSLContext
    authority: Path


def served(folder: Path, *names: str, self_signed: bool = False) -> Served:
    """A certificate for ``names`` (host names or addresses), signed by an authority of its own, or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority_key = key if self_signed else ec.generate_private_key(ec.SECP256R1())
    issuer = _named(names[0]) if self_signed else _named("an authority of a test")
    certificate = _signed(_named(names[0]), issuer, key, authority_key, names, is_authority=self_signed)
    authority = (
        certificate if self_signed else _signed(issuer, issuer, authority_key, authority_key, (), is_authority=True)
    )
    folder.mkdir(parents=True, exist_ok=True)
    chain, private, trusted = folder / "chain.pem", folder / "key.pem", folder / "authority.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    trusted.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain, private)
    return Served(context, trusted)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
    *,
    is_authority: bool,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now() - LIFE)
        .not_valid_after(utc_now() + LIFE)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if is_authority:
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    return builder.sign(by, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
