"""A small web server for the examples: a set of pages on loopback, over http and https, with realistic delays.

It runs on threads of its own and uses no asyncio, so whoever fetches from it has an event loop to itself:

    with Pages(count=20) as pages:
        pages.urls            # the addresses, http and https in turn
        pages.trust           # an ssl context that trusts the server's certificate authority and nothing else
"""

import math
import random
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme

# How long a page takes: half of them less than 0.15 s, some several times as long, as on the real web.
MEDIAN, SPREAD, SHORTEST, LONGEST = 0.15, 0.5, 0.03, 0.6


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True
    server: "Server"

    def do_GET(self) -> None:
        delay = self.server.delays.get(self.path)
        if delay is None:
            self.send_error(404)
            return
        time.sleep(delay)
        body = f"<html><title>{self.path}</title><p>It took {delay:.3f} s.</html>\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False  # idle keep-alive connections are the clients' to close

    def __init__(self, delays: dict[str, float], tls: ssl.SSLContext | None = None) -> None:
        self.delays = delays
        self.tls = tls
        super().__init__(("127.0.0.1", 0), Handler)

    def finish_request(self, request, client_address) -> None:
        if self.tls is not None:
            # the handshake waits for the client, so it belongs into the connection's own thread
            request = self.tls.wrap_socket(request, server_side=True)
        with request:
            super().finish_request(request, client_address)

    def handle_error(self, request, client_address) -> None:
        pass  # a client that went away, or did not trust the certificate, tells so itself


class Pages:
    """`count` pages, every other one over https; the same `seed` gives each page the same delay again."""

    def __init__(self, count: int = 20, seed: int = 7) -> None:
        chance = random.Random(seed)
        paths = [f"/page/{number}" for number in range(1, count + 1)]
        delays = {path: min(max(chance.lognormvariate(math.log(MEDIAN), SPREAD), SHORTEST), LONGEST) for path in paths}

        authority = trustme.CA()
        self.trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(tls)

        self.servers = [Server(delays), Server(delays, tls)]
        bases = [f"http://localhost:{self.servers[0].server_port}", f"https://localhost:{self.servers[1].server_port}"]
        self.urls = [bases[number % 2] + path for number, path in enumerate(paths)]

    def __enter__(self) -> "Pages":
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()
