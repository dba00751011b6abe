"""What is done while system calls fail: each uses one part of the loop, moves bytes and says where they have to come.

A scenario gives up when something has failed that it cannot do without; whatever it made is closed by its scene. It may
use the standard library where a program would: what fails there has to be told, too.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from .scene import Letters, Peer, Scene, Sips, small


class Scenario(NamedTuple):
    """A scenario, and what is done with it."""

    name: str
    run: Callable[[Scene], Coroutine[Any, Any, None]]
    what: str
    threads: bool = False  # the calls of other threads are made to fail, too
    only: str = ""  # these calls only
    but: str = ""  # not these calls

    def takes(self, call: str) -> bool:
        """True for a call that is to fail in this scenario."""
        return call in self.only.split() if self.only else call not in self.but.split()


SCENARIOS: dict[str, Scenario] = {}


def scenario(what: str, **more: Any) -> Callable[[Any], Any]:
    def enter(run: Any) -> Any:
        SCENARIOS[run.__name__] = Scenario(run.__name__, run, what, **more)
        return run

    return enter


# ---- TCP ------------------------------------------------------------------------------------------------


@scenario("TCP: an echo, small buffers, each side ends its half")
async def tcp(scene: Scene) -> None:
    made: list[Peer] = []

    def accepted() -> Peer:
        made.append(Peer(scene, "server", echo=True))
        return made[-1]

    data = scene.data(60_000)
    server = await scene.serving(await scene.loop.create_server(accepted, "127.0.0.1", 0))
    address = server.sockets[0].getsockname()
    transport, client = await scene.loop.create_connection(lambda: Peer(scene, "client"), *address)
    scene.flow("to the server", data, lambda: made[0].got if made else b"")
    scene.flow("back to the client", data, client.got)
    small(transport.get_extra_info("socket"))
    for start in (0, 10, 200, 3000):
        transport.write(data[start : {0: 10, 10: 200, 200: 3000, 3000: 30_000}[start]])
        await scene.ns.sleep(0)
    transport.write(data[30_000:])
    transport.write_eof()
    await scene.until(lambda: len(client.got) >= len(data))
    await scene.until(lambda: client.lost and made and made[0].lost)


@scenario("TCP: many small writes of each side, read by sips of seven bytes")
async def sips(scene: Scene) -> None:
    servers: list[Sips] = []

    def accepted() -> Sips:
        servers.append(Sips(scene, "server"))
        return servers[-1]

    data = scene.data(600)
    server = await scene.serving(await scene.loop.create_server(accepted, "127.0.0.1", 0))
    address = server.sockets[0].getsockname()
    transport, client = await scene.loop.create_connection(lambda: Sips(scene, "client"), *address)
    await scene.until(lambda: servers and servers[0].inner.transport)
    if scene.broken:
        return
    scene.flow("to the server", data, servers[0].inner.got)
    scene.flow("to the client", data, client.inner.got)
    for start in range(0, len(data), 60):
        piece = data[start : start + 60]
        transport.write(piece)
        servers[0].inner.transport.writelines([piece[:5], piece[5:]])
        if start % 120 == 0:
            await scene.ns.sleep(0)
    await scene.until(lambda: len(client.inner.got) == len(servers[0].inner.got) == len(data))
    transport.close()
    await scene.until(lambda: client.inner.lost and servers[0].inner.lost)


@scenario("TCP: a peer that sends urgent data between others, so that reads are short")
async def urgent(scene: Scene) -> None:
    data = scene.data(3000)
    made: list[Peer] = []

    def accepted() -> Peer:
        made.append(Peer(scene, "server"))
        return made[-1]

    server = await scene.serving(await scene.loop.create_server(accepted, "127.0.0.1", 0))
    with socket.socket() as rude:
        rude.connect(server.sockets[0].getsockname())
        await scene.until(lambda: made)
        if scene.broken:
            return
        scene.flow("to the server", data, made[0].got)
        for start in range(0, len(data), 1000):
            rude.sendall(data[start : start + 500])
            rude.send(b"!", socket.MSG_OOB)
            rude.sendall(data[start + 500 : start + 1000])
            # an urgent byte that nobody has passed when the next one comes is one of the others
            await scene.until(lambda end=start + 1000: len(made[0].got) == end)
    await scene.until(lambda: made[0].lost)


@scenario("sock_accept, sock_connect, sock_sendall, sock_recv, sock_recv_into")
async def sock_calls(scene: Scene) -> None:
    loop, data = scene.loop, scene.data(50_000)
    there, back = bytearray(), bytearray()
    scene.flow("to the server", data, there)
    scene.flow("back to the client", lambda: bytes(there[:20_000]) if back else b"", back)
    listening = scene.closing(socket.socket())
    listening.setblocking(False)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    client = scene.closing(socket.socket())
    small(client)
    client.setblocking(False)

    async def serve() -> None:
        sock, _ = await loop.sock_accept(listening)
        with sock:
            room = bytearray(5000)
            while n := await loop.sock_recv_into(sock, room):
                there.extend(room[:n])
            await loop.sock_sendall(sock, there[:20_000])

    async with scene.ns.TaskGroup() as group:
        group.create_task(serve())
        await loop.sock_connect(client, listening.getsockname())
        await loop.sock_sendall(client, data)
        client.shutdown(socket.SHUT_WR)
        while piece := await loop.sock_recv(client, 3000):
            back.extend(piece)


# ---- unix -------------------------------------------------------------------------------------------------


@scenario("unix: streams, lines there and a long answer back")
async def unix(scene: Scene) -> None:
    data, lines = scene.data(100_000), [b"line %d\n" % i for i in range(6)]
    heard: list[bytes] = []
    answer = bytearray()
    scene.flow("lines to the server", lines, heard)
    scene.flow("the answer", lambda: data if len(heard) == 6 else b"", answer)

    async def serve(reader: Any, writer: Any) -> None:
        try:
            while line := await reader.readline():
                heard.append(line)
            if len(heard) == 6:
                small(writer.get_extra_info("socket"))
                writer.write(data)
                await writer.drain()
            writer.close()
            await writer.wait_closed()  # which tells what became of the last bytes
        except OSError as exc:
            scene.tell("server", exc, breaks=True)
        finally:
            writer.close()

    path = str(scene.folder / "faults-unix")
    await scene.serving(await scene.ns.start_unix_server(serve, path))
    reader, writer = await scene.ns.open_unix_connection(path)
    scene.closing(writer)
    for line in lines:
        writer.write(line)
        await writer.drain()
    writer.write_eof()
    while piece := await reader.read(9000):
        answer.extend(piece)
    writer.close()
    await writer.wait_closed()


@scenario("unix: a peer that sends descriptors between bytes, so that reads are short")
async def unix_cut(scene: Scene) -> None:
    data = scene.data(4000)
    ours, theirs = socket.socketpair()
    scene.closing(ours)
    scene.later(_close, theirs)
    transport, peer = await scene.loop.create_connection(lambda: Peer(scene, "reader"), sock=theirs)
    scene.closing(transport)
    scene.flow("to the reader", data, peer.got)
    with open(os.devnull, "rb") as file:
        for start in range(0, len(data), 500):
            socket.send_fds(ours, [data[start : start + 100]], [file.fileno()])
            ours.sendall(data[start + 100 : start + 500])
    ours.shutdown(socket.SHUT_WR)
    await scene.until(lambda: peer.lost)


# ---- datagrams ----------------------------------------------------------------------------------------------


@scenario("UDP: bursts of datagrams and their echo")
async def udp(scene: Scene) -> None:
    await _datagrams(scene, ("127.0.0.1", 0), None)


@scenario("unix datagrams, more than the peer's buffer takes")
async def unix_datagrams(scene: Scene) -> None:
    await _datagrams(scene, str(scene.folder / "faults-server"), str(scene.folder / "faults-client"))


async def _datagrams(scene: Scene, server_address: Any, client_address: Any) -> None:
    family = socket.AF_INET if client_address is None else socket.AF_UNIX
    for path in (server_address, client_address):
        if isinstance(path, str):
            scene.later(_unlink, path)
    endpoint = scene.loop.create_datagram_endpoint
    transport, server = await endpoint(
        lambda: Letters(scene, "server", echo=True), local_addr=server_address, family=family
    )
    scene.closing(transport)
    address = transport.get_extra_info("sockname")
    if address is None:
        return scene.tell("get_extra_info()", None, "the address is not known")
    client_transport, client = await endpoint(
        lambda: Letters(scene, "client"), local_addr=client_address, remote_addr=address, family=family
    )
    scene.closing(client_transport)
    sent: list[bytes] = []
    scene.flow("to the server", sent, server.got)
    scene.flow("back to the client", server.got, client.got)
    for burst in range(3):
        for i in range(12):
            sent.append(b"%d %d " % (burst, i) + b"x" * 50 * i)
            client_transport.sendto(sent[-1])
        await scene.until(lambda: len(client.got) == len(sent) or scene.told)
        if scene.told:  # the others go on
            await scene.ns.sleep(0.05)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


# ---- pipes and children -----------------------------------------------------------------------------------


@scenario("pipes: more than one holds, to their end")
async def pipes(scene: Scene) -> None:
    data = scene.data(150_000)
    r, w = os.pipe()
    reading, writing = os.fdopen(r, "rb", 0), os.fdopen(w, "wb", 0)
    scene.later(_close, reading)
    scene.later(_close, writing)
    read_transport, reader = await scene.loop.connect_read_pipe(lambda: Peer(scene, "reader"), reading)
    scene.closing(read_transport)
    write_transport, writer = await scene.loop.connect_write_pipe(lambda: Peer(scene, "writer"), writing)
    scene.flow("through the pipe", data, reader.got)
    write_transport.write(data[:10])
    write_transport.write(data[10:100_000])
    await scene.ns.sleep(0)
    read_transport.pause_reading()
    write_transport.write(data[100_000:])
    await scene.ns.sleep(0)
    read_transport.resume_reading()
    write_transport.close()
    await scene.until(lambda: reader.lost and writer.lost)


def _close(file: Any) -> None:
    file.close()  # its transport has done so, unless that was never made


@scenario("a child: its stdin, stdout, stderr and exit status")
async def child(scene: Scene) -> None:
    await _child(scene)


@scenario("a child: what fails between fork and exec", threads=True, only="execve")
async def child_exec(scene: Scene) -> None:
    await _child(scene)


async def _child(scene: Scene) -> None:
    data = scene.data(100_000)
    pipe = scene.ns.subprocess.PIPE
    process = await scene.ns.create_subprocess_exec(
        "/bin/sh", "-c", "cat; echo error >&2; exit 7", stdin=pipe, stdout=pipe, stderr=pipe
    )
    out: list[bytes] = []
    scene.flow("through cat", data, lambda: b"".join(out))
    scene.later(_ended, process)
    output, errors = await process.communicate(data)
    out.append(output)
    try:
        await process.stdin.wait_closed()  # communicate() does not tell that the child was not given all of its input
    except OSError as exc:
        scene.tell("stdin", exc)
    if errors != b"error\n" and not scene.told:
        scene.wrong.append(f"stderr: {errors!r}")
    if process.returncode != 7 and not scene.told:
        scene.wrong.append(f"exit status {process.returncode}, and nobody was told why")


async def _ended(process: Any) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


@scenario("children that are signalled, killed, and closed while they run")
async def child_killed(scene: Scene) -> None:
    loop = scene.loop
    process = await scene.ns.create_subprocess_exec("/bin/sleep", "20")
    scene.later(_ended, process)
    process.terminate()
    status = await process.wait()
    if status != -signal.SIGTERM and not scene.told:
        scene.wrong.append(f"exit status {status}, and nobody was told why")
    transport, _ = await loop.subprocess_shell(scene.ns.SubprocessProtocol, "sleep 20", stdin=None, stdout=None)
    transport.close()
    await transport._wait()


# ---- files ------------------------------------------------------------------------------------------------------


@scenario("sendfile over a transport, behind what is buffered")
async def sendfile(scene: Scene) -> None:
    data = scene.data(120_000)
    made: list[Peer] = []

    def accepted() -> Peer:
        made.append(Peer(scene, "server"))
        return made[-1]

    path = scene.folder / "faults-file"
    path.write_bytes(data)
    server = await scene.serving(await scene.loop.create_server(accepted, "127.0.0.1", 0))
    transport, client = await scene.loop.create_connection(
        lambda: Peer(scene, "client"), *server.sockets[0].getsockname()
    )
    scene.closing(transport)
    small(transport.get_extra_info("socket"))
    scene.flow("to the server", b"before" + data + b"after", lambda: made[0].got if made else b"")
    with open(path, "rb") as file:
        transport.write(b"before")
        await scene.loop.sendfile(transport, file)
        transport.write(b"after")
    transport.close()
    await scene.until(lambda: client.lost and made and made[0].lost)


@scenario("sock_sendfile")
async def sock_sendfile(scene: Scene) -> None:
    data = scene.data(90_000)
    path = scene.folder / "faults-file"
    path.write_bytes(data)
    ours, theirs = socket.socketpair()
    scene.closing(ours)
    scene.closing(theirs)
    ours.setblocking(False)
    theirs.setblocking(False)
    got = bytearray()
    scene.flow("to the peer", data, got)

    async def read() -> None:
        while piece := await scene.loop.sock_recv(theirs, 20_000):
            got.extend(piece)

    async def send() -> None:
        with open(path, "rb") as file:
            await scene.loop.sock_sendfile(ours, file)
        ours.shutdown(socket.SHUT_WR)

    async with scene.ns.TaskGroup() as group:
        group.create_task(read())
        group.create_task(send())


# ---- names, servers, and what the loop itself needs ------------------------------------------------------------


# (strace counts each thread's calls, so that one fault may meet several: of close() that could not be made good)
@scenario("DNS: names looked up by threads, a connection by name", threads=True, but="close")
async def names(scene: Scene) -> None:
    made: list[Peer] = []

    def accepted() -> Peer:
        made.append(Peer(scene, "server"))
        return made[-1]

    server = await scene.serving(await scene.loop.create_server(accepted, "localhost", 0, family=socket.AF_INET))
    port = server.sockets[0].getsockname()[1]
    transport, client = await scene.loop.create_connection(
        lambda: Peer(scene, "client"), "localhost", port, family=socket.AF_INET
    )
    scene.flow("to the server", b"hello", lambda: made[0].got if made else b"")
    transport.write(b"hello")
    transport.close()
    await scene.until(lambda: client.lost and made and made[0].lost)
    await scene.loop.getnameinfo(("127.0.0.1", port))


@scenario("a server's whole life: it begins, stops, begins again, has many clients and closes them")
async def server(scene: Scene) -> None:
    accepted: list[Peer] = []

    def accept() -> Peer:
        accepted.append(Peer(scene, f"server {len(accepted)}", echo=True))
        return accepted[-1]

    hosts = ["127.0.0.1", "127.0.0.2"]
    listening = await scene.serving(await scene.loop.create_server(accept, hosts, 0, start_serving=False))
    await listening.start_serving()
    clients = []
    for number in range(6):
        address = listening.sockets[number % len(listening.sockets)].getsockname()
        _, client = await scene.loop.create_connection(lambda n=number: Peer(scene, f"client {n}"), *address)
        clients.append(client)
        data = b"hello %d" % number
        scene.flow(f"back to client {number}", data, client.got)
        client.transport.write(data)
    await scene.until(lambda: all(client.got for client in clients))
    listening.close()
    clients[0].transport.close()
    clients[1].transport.abort()
    listening.close_clients()
    await scene.until(lambda: all(client.lost for client in clients))
    await scene.until(lambda: all(peer.lost for peer in accepted))
    await listening.wait_closed()


@scenario("add_reader, add_writer, signal handlers, calls from another thread, an executor")
async def readiness(scene: Scene) -> None:
    loop = scene.loop
    one, other = socket.socketpair()
    scene.closing(one)
    scene.closing(other)
    one.setblocking(False)
    other.setblocking(False)
    got: list[bytes] = []
    came: list[str] = []

    def readable() -> None:
        try:
            got.append(one.recv(100))
        except BlockingIOError:
            return
        loop.remove_reader(one)
        scene.changed()

    def writable() -> None:
        came.append("room")
        loop.remove_writer(other)
        other.send(b"hello")
        scene.changed()

    def signalled() -> None:
        came.append("signal")
        scene.changed()

    def from_thread() -> None:
        came.append("thread")
        scene.changed()

    scene.flow("by add_reader", [b"hello"], got)
    loop.add_reader(one, readable)
    loop.add_writer(other, writable)
    await scene.until(lambda: got or scene.told)
    loop.add_signal_handler(signal.SIGUSR2, signalled)
    os.kill(os.getpid(), signal.SIGUSR2)
    await scene.until(lambda: "signal" in came or scene.told)
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(from_thread,))
    thread.start()
    await scene.until(lambda: "thread" in came)
    thread.join()
    if await loop.run_in_executor(None, sys.getrecursionlimit) != sys.getrecursionlimit():
        scene.wrong.append("the executor's result is another")
    loop.remove_signal_handler(signal.SIGUSR2)
    loop.remove_reader(one)
    loop.remove_writer(other)
