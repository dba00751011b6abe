"""Sockets, transports, servers, name resolution."""
