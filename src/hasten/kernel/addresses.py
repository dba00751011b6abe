"""What addresses.pyx is needed for: uncompiled, addresses are those that the socket module shows from the beginning."""

from __future__ import annotations

import socket

_INTERNET = (socket.AF_INET, getattr(socket, "AF_INET6", socket.AF_INET))


def internet(family: int) -> bool:
    """True for IPv4 and IPv6."""
    return family in _INTERNET
