"""An authority of this localcloud's own, and its certificate for the registry's names. Kept in memory only."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAYS = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Certificate:
    """A certificate that clients trust by its authority, both in PEM."""

    authority: bytes
    certificate: bytes
    key: bytes

    def context(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory(prefix="localcloud-") as folder:  # load_cert_chain takes files only
            file = Path(folder, "server.pem")
            file.touch(0o600)
            file.write_bytes(self.key + self.certificate)
            context.load_cert_chain(file)
        return context


def make_certificate(names: Sequence[str]) -> Certificate:
    """A new authority, and a certificate for a server of these names."""
    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localcloud")])

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType) -> bytes:
        builder = x509.CertificateBuilder(
            authority_name,
            subject,
            public,
            x509.random_serial_number(),
            now - datetime.timedelta(hours=1),
            now + DAYS,
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    return Certificate(
        authority=signed(authority_name, authority_key.public_key(), x509.BasicConstraints(ca=True, path_length=0)),
        certificate=signed(
            subject,
            key.public_key(),
            x509.BasicConstraints(ca=False, path_length=None),
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]),
        ),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
