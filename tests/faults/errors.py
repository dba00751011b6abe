"""Which errors a system call can have, by its manual page: what is injected, and what is not, with the reason.

A call that fails by injection is not made at all. So an error is left out where the kernel would have done something
besides: a connect() that says EINPROGRESS has begun to connect, and the EAGAIN of a recv() on a descriptor that is
watched for edges promises an edge that has still to come. The true ones of these come from the scenarios themselves, by
small buffers.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """Errors of some calls, where their arguments, as strace shows them, have something in them."""

    calls: str
    where: str  # a regular expression
    errors: str
    why: str = ""  # nothing is injected


SOCKET = r"^\d+<(?:TCP|UNIX|UDP|socket)"
STREAM = r"^\d+<(?:TCP|UNIX-STREAM)"
DATAGRAM = r"^\d+<(?:UDP|UNIX-DGRAM)"
PIPE = r"^\d+<pipe"

RULES = [
    # ---- making descriptors ---------------------------------------------------------------------
    Rule("epoll_create1", "", "EMFILE ENFILE ENOMEM"),
    Rule("eventfd2", "", "EMFILE ENFILE ENOMEM"),
    Rule("socket", "", "EMFILE ENFILE ENOBUFS ENOMEM EACCES EAFNOSUPPORT"),
    Rule("socketpair", "", "EMFILE ENFILE ENOMEM"),
    Rule("pipe2 pipe", "", "EMFILE ENFILE"),
    Rule("dup dup3", "", "EMFILE EBUSY"),
    Rule("pidfd_open", "", "EMFILE ENFILE ENOMEM ENOSYS EPERM ESRCH"),
    Rule("openat open", "/dev/null|faults-|/etc/", "EMFILE ENFILE ENOMEM EACCES EINTR"),
    Rule(
        "accept4 accept", "", "EMFILE ENFILE ENOBUFS ENOMEM ECONNABORTED EAGAIN EINTR EPERM EPROTO ENETDOWN ETIMEDOUT"
    ),
    Rule("fcntl", "F_DUPFD", "EMFILE"),
    Rule("fcntl", "F_SETFL", "EPERM"),
    Rule("fcntl", "F_SETPIPE_SZ", "EBUSY EPERM ENOMEM"),
    Rule("fcntl", "F_GETF[DL]|F_SETFD", "", "fails for closed descriptors only"),
    # ---- what is ready --------------------------------------------------------------------------
    Rule("epoll_ctl", "EPOLL_CTL_ADD", "ENOMEM ENOSPC EEXIST EPERM"),
    Rule("epoll_ctl", "EPOLL_CTL_MOD", "ENOMEM ENOENT"),
    Rule("epoll_ctl", "EPOLL_CTL_DEL", "ENOMEM ENOENT"),
    Rule("epoll_wait", "", "EINTR"),
    Rule("epoll_pwait2", "", "EINTR ENOSYS EPERM"),
    Rule("poll ppoll select pselect6", "", "EINTR ENOMEM"),
    # ---- sockets --------------------------------------------------------------------------------
    Rule("bind", "AF_UNIX", "EADDRINUSE EACCES ENOENT ENOSPC EROFS"),
    Rule("bind", "", "EADDRINUSE EADDRNOTAVAIL EACCES"),
    Rule("listen", "", "EADDRINUSE EOPNOTSUPP"),
    Rule("connect", "AF_UNIX", "EAGAIN ECONNREFUSED ENOENT EACCES EPROTOTYPE"),
    Rule("connect", "", "ECONNREFUSED ENETUNREACH EHOSTUNREACH ETIMEDOUT EADDRNOTAVAIL EACCES EPERM"),
    Rule("getsockopt setsockopt", "", "ENOPROTOOPT ENOBUFS ENOMEM EINVAL"),
    Rule("getsockname", "", "ENOBUFS"),
    Rule("getpeername", "", "ENOBUFS ENOTCONN"),
    Rule("shutdown", "", "ENOTCONN"),
    Rule("sendto sendmsg", STREAM, "ECONNRESET EPIPE ENOBUFS ENOMEM EINTR ETIMEDOUT EHOSTUNREACH"),
    Rule("recvfrom recvmsg", STREAM, "ECONNRESET ETIMEDOUT ENOMEM EINTR EHOSTUNREACH"),
    Rule(
        "sendto sendmsg sendmmsg", DATAGRAM, "ECONNREFUSED EMSGSIZE ENOBUFS ENOMEM EINTR EPERM ENETUNREACH EHOSTUNREACH"
    ),
    Rule("recvfrom recvmsg recvmmsg", DATAGRAM, "ECONNREFUSED ENOMEM EINTR EHOSTUNREACH"),
    Rule("sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg", SOCKET, "ENOMEM EINTR"),
    Rule("ioctl", "FIONBIO", "EPERM"),
    Rule("ioctl", "TCGETS|TIOC", "", "asks whether it is a terminal: an error says that it is none"),
    # ---- bytes ----------------------------------------------------------------------------------
    Rule("read", r"eventfd|pidfd", "", "nobody reads it"),
    Rule("read", PIPE, "EIO EINTR EAGAIN"),
    Rule("read", SOCKET, "ECONNRESET EINTR EAGAIN"),
    Rule("read pread64", "faults-|/dev/|/etc/", "EIO EINTR"),
    Rule("read pread64 readv", "/", "", "the interpreter reads a file of its own"),
    Rule("write", r"eventfd", "", "adds to a number: cannot fail while the eventfd is open, nor is it interrupted"),
    Rule("write writev", PIPE, "EPIPE EIO EINTR"),
    Rule("write writev", SOCKET, "EPIPE ECONNRESET EINTR"),
    Rule("write writev", "", "EIO ENOSPC EINTR"),
    Rule("sendfile", "", "EIO EINTR ENOMEM EINVAL EPIPE ECONNRESET EOVERFLOW ENOSYS"),
    Rule("close", "", "EIO EINTR"),
    # ---- files ----------------------------------------------------------------------------------
    Rule("unlink unlinkat", "", "EACCES EBUSY EPERM EROFS ENOENT"),
    Rule("stat newfstatat statx lstat", "faults-", "EACCES ENOENT ENOMEM"),
    Rule("fstat newfstatat", "", "ENOMEM"),
    Rule("stat statx lstat access readlink getcwd openat open", "", "", "the interpreter looks for files of its own"),
    Rule("lseek", "faults-", "EINVAL"),
    Rule("lseek", "", "", "the interpreter's own"),
    # ---- children -------------------------------------------------------------------------------
    Rule("vfork fork clone clone3", "", "EAGAIN ENOMEM"),
    Rule("execve", "", "ENOENT EACCES ENOMEM E2BIG ETXTBSY EIO EMFILE"),
    Rule("wait4 waitid", r"\) += [1-9]\d*$", "ECHILD EINTR"),
    Rule("wait4 waitid", "", "EINTR"),  # a child that runs is there
    Rule("pidfd_send_signal", "", "EPERM ENOSYS"),
    Rule("kill tgkill", "", "", "a child of one's own is there until it is reaped; of another user's it has to run on"),
    # ---- what cannot fail, and what others test --------------------------------------------------
    Rule(
        "mmap munmap mremap mprotect madvise brk", "", "", "memory: tests/hostile/nomemory.py lets each allocation fail"
    ),
    Rule("futex", "", "", "the interpreter's locks, which end the process where one fails"),
    Rule("rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall rt_sigtimedwait", "", "", "cannot fail"),
    Rule("getpid getppid gettid getuid geteuid getgid getegid umask sched_yield", "", "", "cannot fail"),
    Rule("clock_gettime gettimeofday clock_nanosleep nanosleep uname sysinfo getrandom", "", "", "cannot fail"),
    Rule("set_robust_list rseq prctl arch_prctl set_tid_address exit exit_group", "", "", "the C library's own"),
    Rule("getrusage prlimit64 sched_getaffinity getdents64 getcpu membarrier", "", "", "the interpreter's own"),
]
_RULES = [(set(rule.calls.split()), re.compile(rule.where), rule) for rule in RULES]

# What a call may fail with again and again: from its first time on for good, or for a while.
FOR_GOOD = {
    "epoll_pwait2": "ENOSYS EPERM",
    "epoll_ctl": "ENOMEM ENOSPC",
    "socket": "EMFILE",
    "pidfd_open": "ENOSYS EMFILE",
    "sendfile": "EINVAL ENOSYS",
    "setsockopt": "ENOPROTOOPT",
    "getpeername": "ENOTCONN",
    "pidfd_send_signal": "EPERM ENOSYS",
}
FOR_A_WHILE = {"accept4": "EMFILE ECONNABORTED EINTR", "sendmmsg": "ENOBUFS", "sendmsg": "ENOBUFS", "sendto": "ENOBUFS"}
TIMES = 3
# Calls that a signal may interrupt, however often: each second one of each kind, where all of the kind can be.
INTERRUPTED = (
    "accept4 epoll_wait epoll_pwait2 poll read recvfrom recvmsg recvmmsg sendto sendmsg sendmmsg write writev sendfile"
    " wait4 waitid"
)


class NoRule(Exception):
    """A system call that this page says nothing of."""


def errors(call: str, arguments: str) -> list[str]:
    """The names of the errors to be injected into a call."""
    for calls, where, rule in _RULES:
        if call in calls and where.search(arguments):
            return rule.errors.split()
    raise NoRule(f"{call}({arguments}): which errors can it have? tests/faults/errors.py does not say")
