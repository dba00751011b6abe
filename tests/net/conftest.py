"""What only the network's tests need."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme


class Certificates(NamedTuple):
    """A server context for localhost, 127.0.0.1 and a.example; client contexts that do and do not trust it."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    stranger: ssl.SSLContext


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "a.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    stranger = ssl.create_default_context()
    trustme.CA().configure_trust(stranger)
    return Certificates(server, client, stranger)


@pytest.fixture
def unix_path(tmp_path: Path) -> str:
    """A short path for a unix socket."""
    return str(tmp_path / "s")
