"""What a poller can be asked for, and reports (C constants in events.pxd; this file is for uncompiled runs)."""

READ = 1  # recv or accept will not block: data, a connection, the end, an error
WRITE = 2  # send will not block, or connect has ended
HANGUP = (
    4  # reported only: the peer shut down its side, an error is pending, or urgent data: read on after a short read
)
LEVEL = 8  # asked for only: report as long as it holds, not only when it begins
