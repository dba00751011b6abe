"""A certificate for localhost that is its own authority."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.failures import Failure, Unsupported


def make(folder: Path) -> tuple[str, str]:
    """Writes a fresh certificate and its key into the folder; returns their paths.

    Uses the openssl command or, without it, trustme. Raises Unsupported when neither is there.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if not certificate.exists():
        if shutil.which("openssl"):
            _with_openssl(certificate, key)
        else:
            _with_trustme(certificate, key)
    return str(certificate), str(key)


def _with_openssl(certificate: Path, key: Path) -> None:
    # Python 3.13 and later verify strictly: an authority must say that it signs.
    extensions = [
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=critical,digitalSignature,keyCertSign",
    ]
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-days", "30", "-subj", "/CN=hasten benchmark", "-keyout", str(key), "-out", str(certificate)]
    for extension in extensions:
        command += ["-addext", extension]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure("error", f"openssl made no certificate: {done.stderr.strip()[-200:]}")


def _with_trustme(certificate: Path, key: Path) -> None:
    try:
        import trustme
    except ImportError:
        raise Unsupported("a certificate takes the openssl command or the trustme package; neither is here") from None
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(key))
    # the server sends it all; a client finds the authority in the same file
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(certificate), append=True)
    authority.cert_pem.write_to_path(str(certificate), append=True)
