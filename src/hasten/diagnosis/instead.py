"""What to use in the place of a call that blocks the loop: by the program's line, and by where the call ended up."""

from __future__ import annotations

import re

_CLIENT = "use an asynchronous client (aiohttp, httpx), or `await asyncio.to_thread(...)`"
_DRIVER = "use an asynchronous driver (asyncpg, psycopg, aiosqlite), or `await asyncio.to_thread(...)`"
_LOCKS = "use asyncio's own Lock, Event and Queue between tasks; to wait for a thread, `await asyncio.to_thread(...)`"
# (pattern in the path of the innermost frame, advice): a library gives itself away by its own files.
_FILES = (
    (r"[/\\]requests[/\\]|[/\\]urllib3[/\\]", _CLIENT),
    (r"[/\\]urllib[/\\]|[/\\]http[/\\]client\.py$", _CLIENT),
    (r"[/\\]subprocess\.py$", "use `await asyncio.create_subprocess_exec(...)`"),
    (r"[/\\](?:psycopg2|MySQLdb|pymysql|sqlite3)[/\\]", _DRIVER),
    (r"[/\\]sqlalchemy[/\\]", "use SQLAlchemy's asyncio extension, or `await asyncio.to_thread(...)`"),
    (
        r"[/\\](?:smtplib|ftplib|imaplib|poplib|telnetlib)\.py$",
        "use an asynchronous library, or `await asyncio.to_thread(...)`",
    ),
    (
        r"[/\\]socket\.py$",
        "use `await loop.getaddrinfo(...)` and asyncio's connections, or `await asyncio.to_thread(...)`",
    ),
    (r"[/\\]ssl\.py$", "use asyncio's connections with `ssl=`"),
    (r"[/\\](?:threading|queue)\.py$", _LOCKS),
    (
        r"[/\\]concurrent[/\\]futures[/\\]",
        "use `await asyncio.wrap_future(future)`, or `await loop.run_in_executor(...)`",
    ),
    (r"[/\\]multiprocessing[/\\]", "use `await loop.run_in_executor(ProcessPoolExecutor(), ...)`"),
)
# (pattern in the line, advice). The first that is found counts.
_LINES = (
    (r"\btime\.sleep\s*\(|^\s*sleep\s*\(", "use `await asyncio.sleep(...)`"),
    (r"\b(?:requests|urllib|urlopen)\b", _CLIENT),
    (
        r"\bsubprocess\.|\bos\.system\s*\(|\bos\.popen\s*\(|\bos\.wait",
        "use `await asyncio.create_subprocess_exec(...)`",
    ),
    (r"\bgetaddrinfo\s*\(|\bgethostby", "use `await loop.getaddrinfo(...)`"),
    (r"\binput\s*\(", "use `await asyncio.to_thread(input, ...)`"),
    (r"\.acquire\s*\(|\bjoin\s*\(\s*(?:timeout)?", _LOCKS),
    (r"\.result\s*\(", "await the future: `await asyncio.wrap_future(future)`"),
    (r"\bexecute(?:many)?\s*\(|\bcommit\s*\(|\bfetch(?:one|all|many)\s*\(", _DRIVER),
    (
        r"\bopen\s*\(|\.read(?:lines?|_text|_bytes)?\s*\(|\.write(?:_text|_bytes)?\s*\(|\bos\.(?:read|write|fsync|walk|scandir)\s*\(|\bshutil\.",
        "read and write files in a thread: `await asyncio.to_thread(...)`",
    ),
    (
        r"\b(?:recv|send|sendall|accept|connect)\s*\(",
        "use asyncio's connections, or `await loop.sock_recv(...)` and its kin on a nonblocking socket",
    ),
)
_COMPUTED = (
    "let others run now and then (`await asyncio.sleep(0)` in the loop), or compute in another process: "
    "`await loop.run_in_executor(ProcessPoolExecutor(), function, ...)`"
)
_WAITED = "call it in a thread: `await asyncio.to_thread(function, ...)`"


def instead_of(file: str, line: str, computed: bool) -> str:
    """Return what to use in the place of what blocked.

    Arguments:
        file: the path of the innermost frame.
        line: the text of the program's own line that called it; "" where it is unknown.
        computed: the processor was at work most of the time.
    """
    if computed and not re.search(r"\bsubprocess\.|\brequests\b", line):
        return _COMPUTED
    for pattern, advice in _LINES[:2]:  # what the line says plainly
        if re.search(pattern, line):
            return advice
    for pattern, advice in _FILES:
        if re.search(pattern, file):
            return advice
    for pattern, advice in _LINES:
        if re.search(pattern, line):
            return advice
    return _COMPUTED if computed else _WAITED
