"""TLS for clients from elsewhere: a CA and a certificate of our own, or those that an admin has; 1.2 or newer.

They are read again at SIGHUP: who connects from then on gets the new ones.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vmctl.errors import Refused, Usage

CA_DAYS, DAYS = 3650, 397  # what browsers take at most of a server
ALWAYS = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC), datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)
EARLIER = datetime.timedelta(minutes=5)  # clocks differ


class Files(NamedTuple):
    """Where a server's certificate and its key are, PEM each."""

    certificate: Path
    key: Path


def own(folder: Path) -> Files:
    """Those that `init` makes."""
    return Files(folder / "server.pem", folder / "server.key")


def init(folder: Path, names: Iterable[str]) -> str:
    """A CA, and a certificate for those names and addresses; its SHA-256 fingerprint. The CA that is there stays."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_key, ca = _ca(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    wanted = [_general(name) for name in names]
    if not wanted:
        raise Usage("a certificate is for names or addresses, and none is given", hint="vmctl serve --init-tls NAME")
    made = (
        _certificate(f"vmctl at {next(iter(wanted)).value}", ca.subject, key, _for(DAYS))
        .add_extension(x509.SubjectAlternativeName(wanted), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files = own(folder)
    _write_key(files.key, key)
    _write(files.certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)
    return fingerprint(made)


def for_life(folder: Path) -> tuple[Files, str]:
    """A certificate for one life of a controller, and the same as PEM. Others know it by itself: it names nobody.

    Its files can be removed once they are loaded. No clock makes it invalid: it is worth something as long as the life.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = f"{x509.random_serial_number():x}"[:20]  # OpenSSL looks for whom it believes by his name
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = _certificate(name, subject, key, ALWAYS).sign(key, hashes.SHA256())
    files = Files(folder / "life.pem", folder / "life.key")
    _write_key(files.key, key)
    text = made.public_bytes(serialization.Encoding.PEM)
    _write(files.certificate, text, 0o600)
    return files, text.decode()


def among(files: Files) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a controller speaks with others of its registry, as server and as client; `trust` says whom they believe."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for made in (server, client):
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.load_cert_chain(files.certificate, files.key)
        made.check_hostname = False  # a certificate is one controller's, wherever it is
        made.verify_mode = ssl.CERT_REQUIRED
        made.set_alpn_protocols(["http/1.1"])
    return server, client


def trust(context: ssl.SSLContext, certificate: str) -> str:
    """Let a context believe a life's certificate; its fingerprint. Raises ValueError where it is none."""
    read = x509.load_pem_x509_certificate(certificate.encode())
    context.load_verify_locations(cadata=certificate)
    return fingerprint(read)


def fingerprint_of_der(certificate: bytes) -> str:
    """That of a certificate as a connection shows it."""
    return fingerprint(x509.load_der_x509_certificate(certificate))


def fingerprint(certificate: x509.Certificate) -> str:
    """As `--fingerprint` takes it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def fingerprint_of(path: Path) -> str:
    """That of a certificate in a file. Raises Usage."""
    try:
        return fingerprint(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError) as err:
        raise Usage(f"{path} is no certificate that can be read: {err}") from err


def context(files: Files) -> ssl.SSLContext:
    """What a server speaks TLS with. Raises Usage, Refused."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    load(made, files)
    return made


def load(into: ssl.SSLContext, files: Files) -> None:
    """Read the files, for whoever connects from now on; the earlier ones stay where these cannot be used."""
    if not files.certificate.exists() or not files.key.exists():
        hint = "vmctl serve --init-tls NAME-OR-ADDRESS..., or tls_certificate and tls_key in the settings"
        raise Usage(f"there is no TLS certificate at {files.certificate}", hint=hint)
    mode = files.key.stat().st_mode & 0o777
    if mode & 0o077:
        raise Refused(f"{files.key} can be read by others (mode {mode:04o})", hint=f"chmod 600 {files.key}")
    try:
        into.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as err:
        raise Usage(f"{files.certificate} and {files.key} cannot be used: {err}") from err


def _ca(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    certificate, key = folder / "ca.pem", folder / "ca.key"
    if certificate.exists() and key.exists():
        kept = serialization.load_pem_private_key(key.read_bytes(), None)
        if not isinstance(kept, ec.EllipticCurvePrivateKey):
            raise Refused(f"{key} is no key of ours", hint="make certificates with the CA that it belongs to")
        return kept, x509.load_pem_x509_certificate(certificate.read_bytes())
    made = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vmctl CA")])
    ca = (
        _certificate("vmctl CA", name, made, _for(CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(made.public_key()), critical=False)
        .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
        .sign(made, hashes.SHA256())
    )
    _write_key(key, made)
    _write(certificate, ca.public_bytes(serialization.Encoding.PEM), 0o644)
    return made, ca


def _for(days: int) -> tuple[datetime.datetime, datetime.datetime]:
    now = datetime.datetime.now(datetime.UTC)
    return now - EARLIER, now + datetime.timedelta(days=days)


def _certificate(
    name: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    valid: tuple[datetime.datetime, datetime.datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as err:
        raise Usage(f"{name!r} is no name or address: {err}") from err


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    _write(path, key.private_bytes(encoding, form, serialization.NoEncryption()), 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    """All of it or nothing: whoever reads meanwhile reads the earlier one."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(number, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
