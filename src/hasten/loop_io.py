"""The loop's methods for input and output: connections, servers, sockets, files, pipes, processes.

They are functions of `net` and `process`, which take the loop as their first argument.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hasten.net import sock_calls, sock_connect

if TYPE_CHECKING:
    from hasten.net import connecting, datagrams, pipe_ends, servers, tls
    from hasten.net import sendfile as files
    from hasten.process import spawning


class Late:
    """A method that is a function of another module. That is imported when it is first asked for: a program may start
    without."""

    def __init__(self, module: str, name: str = "") -> None:
        self._module = module
        self._name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner
        self._method = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        function = getattr(importlib.import_module(self._module), self._name or self._method)
        setattr(self._owner, self._method, function)  # from now on it is there by itself
        return function if instance is None else function.__get__(instance, owner)


class IoMethods:
    """What functions of `net` and `process` do for the loop."""

    __slots__ = ()

    if TYPE_CHECKING:
        create_connection = connecting.create_connection
        create_unix_connection = connecting.create_unix_connection
        connect_accepted_socket = connecting.connect_accepted_socket
        create_server = servers.create_server
        create_unix_server = servers.create_unix_server
        create_datagram_endpoint = datagrams.create_datagram_endpoint
        start_tls = tls.start_tls
        connect_read_pipe = pipe_ends.connect_read_pipe
        connect_write_pipe = pipe_ends.connect_write_pipe
        sendfile = files.sendfile
        sock_sendfile = files.sock_sendfile
        _sendfile_native = files.native
        _sock_sendfile_native = files.sock_native
        subprocess_exec = spawning.subprocess_exec
        subprocess_shell = spawning.subprocess_shell
    else:
        create_connection = Late("hasten.net.connecting")
        create_unix_connection = Late("hasten.net.connecting")
        connect_accepted_socket = Late("hasten.net.connecting")
        create_server = Late("hasten.net.servers")
        create_unix_server = Late("hasten.net.servers")
        create_datagram_endpoint = Late("hasten.net.datagrams")
        start_tls = Late("hasten.net.tls")
        connect_read_pipe = Late("hasten.net.pipe_ends")
        connect_write_pipe = Late("hasten.net.pipe_ends")
        sendfile = Late("hasten.net.sendfile")
        sock_sendfile = Late("hasten.net.sendfile")
        _sendfile_native = Late("hasten.net.sendfile", "native")
        _sock_sendfile_native = Late("hasten.net.sendfile", "sock_native")
        subprocess_exec = Late("hasten.process.spawning")
        subprocess_shell = Late("hasten.process.spawning")

    sock_recv = sock_calls.sock_recv
    sock_recv_into = sock_calls.sock_recv_into
    sock_recvfrom = sock_calls.sock_recvfrom
    sock_recvfrom_into = sock_calls.sock_recvfrom_into
    sock_sendall = sock_calls.sock_sendall
    sock_sendto = sock_calls.sock_sendto
    sock_accept = sock_calls.sock_accept
    sock_connect = sock_connect.sock_connect

    def _connects_pipes_plainly(self: Any) -> bool:
        """True unless a program has put methods of its own in the place of those that connect pipes."""
        return (
            getattr(self.connect_read_pipe, "__func__", None) is IoMethods.connect_read_pipe
            and getattr(self.connect_write_pipe, "__func__", None) is IoMethods.connect_write_pipe
        )
