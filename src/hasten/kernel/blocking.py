"""Nonblocking mode, which is given back: it belongs to an open file, and others may have that file open, too.

A terminal, or a pipe that a process was started with, is shared with other processes. One that finds it nonblocking,
which it does not expect, loses what it writes.
"""

from __future__ import annotations

import os


class Mode:
    """That a descriptor is nonblocking for as long as a transport uses it."""

    __slots__ = ("fd", "file", "made", "owed", "pid")

    def __init__(self, fd: int, file: tuple[int, int], made: int) -> None:
        self.fd = fd
        self.file = file  # device and inode
        self.made = made  # the id() of the file object, which is closed together with this
        self.owed = False  # it was blocking before
        self.pid = os.getpid()

    def stands(self) -> bool:
        """True if the descriptor still stands for the file. Who owned it may have closed it."""
        try:
            found = os.fstat(self.fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.file


in_use: dict[tuple[int, int], list[Mode]] = {}
# Of open files that a transport has to itself, as the pipes to a child: nobody needs them to block, now or later.
private_files: set[tuple[int, int]] = set()


def leave(fd: int, file: tuple[int, int], made: int) -> Mode:
    """Make a descriptor nonblocking. Raises OSError.

    Arguments:
        file: its device and inode.
        made: the id() of the file object that it is of, which stays until give_back().
    """
    mode = Mode(fd, file, made)
    users = in_use.get(file)
    if users is None:  # not by setdefault(), which breaks the dict in CPython 3.13.0 where there is no memory
        users = in_use[file] = []
    try:  # a signal handler may raise after each call, also of one that has done its work
        users.append(mode)
        mode.owed = os.get_blocking(fd)
        if mode.owed:
            os.set_blocking(fd, False)
    except BaseException:
        give_back(mode)
        raise
    return mode


def is_alone(mode: Mode) -> bool:
    """True unless another transport uses the same file object."""
    users = 0
    for each in in_use.get(mode.file, ()):  # no generator: CPython 3.13.0 crashes where there is no memory for one
        users += each.made == mode.made
    return users <= 1


def give_back(mode: Mode, *, ours: bool = True, closing: bool = False) -> None:
    """End what leave() began: the descriptor blocks again if it did before, unless others here still need it.

    Arguments:
        ours: False if its owner has closed it, and the number may stand for another file.
        closing: the file object is about to be closed, so others who use it need nothing any more, and cannot give back
            what they owe.
    """
    others = in_use.get(mode.file, [])
    if mode in others:
        others.remove(mode)
    if not others:
        in_use.pop(mode.file, None)
        if others:  # a transport of another thread has come to it meanwhile
            in_use[mode.file] = others
    if closing:
        for other in others:
            if other.made == mode.made and other.owed:
                mode.owed, other.owed = True, False
    # A forked child shares the open file with its parent, whose transport goes on.
    if not (mode.owed and ours) or mode.pid != os.getpid() or not mode.stands():
        return
    mode.owed = False
    os.set_blocking(mode.fd, True)
    for other in tuple(others):
        if closing and other.made == mode.made:
            continue
        # What has the same inode may be the same open file under another number, or opened once more: this tells.
        if other.stands() and os.get_blocking(other.fd):
            os.set_blocking(other.fd, False)
            other.owed = True
            return
