"""A socket of datagrams as a transport holds it. The plain twin is datagram_channel.py.

Several datagrams are received, or sent, by one system call. The address of a peer is made into a tuple once, as long as few
peers come, and one that was given to the program is known again when the program sends to it.
"""
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from cpython.sequence cimport PySequence_GetItem
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memcmp
cimport hasten.kernel.addresses as addresses
cimport hasten.kernel.buffers as buffers
cimport hasten.kernel.deques as deques
from hasten.kernel.addresses cimport hasten_address, socklen_t
from hasten.kernel.channel cimport iovec
from hasten.kernel.workshop cimport CHUNK, Workshop

cdef extern from *:
    """
    #include <errno.h>
    static inline void hasten_errno_set(int e) { errno = e; }
    """
    void errno_set "hasten_errno_set"(int e) noexcept

cdef extern from "datagrams.h":
    enum:
        HASTEN_LETTERS
        HASTEN_LETTERS_OUT
        HASTEN_LETTER
        HASTEN_LETTERS_ROOM
    ctypedef struct msghdr "struct msghdr":
        void *msg_name
        socklen_t msg_namelen
    ctypedef struct hasten_letter:
        msghdr head
        unsigned int size
    ctypedef struct hasten_letter_box:
        hasten_letter letters[1]
        iovec rooms[1]
        hasten_address senders[1]
        char *bytes
    int hasten_receive_letters(int fd, hasten_letter_box *box, int count, size_t room, int *more) nogil
    int hasten_send_letters(int fd, hasten_letter *letters, int count) nogil
    void hasten_address_letter(hasten_letter *letter, iovec *piece, const char *start, size_t n) noexcept
    unsigned hasten_address_slot(const hasten_address *a, socklen_t n) noexcept

cdef enum:
    PEERS = 64          # that are known again

# The methods of a socket that a transport calls. Where the program has set methods of its own, those are called.
cdef tuple _METHODS = ("recvfrom", "send", "sendto")


@cython.no_gc
@cython.final
cdef class LetterBox:
    """What the datagrams of one loop are received into. Only the pages that are used take memory."""
    cdef hasten_letter_box box

    def __cinit__(self):
        self.box.bytes = <char *>PyMem_RawMalloc(HASTEN_LETTERS_ROOM)
        if self.box.bytes == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_RawFree(self.box.bytes)


cdef LetterBox box_of(Workshop workshop):
    box = workshop.letter_box
    if box is None:
        box = LetterBox()
        workshop.letter_box = box
    return <LetterBox>box


cdef class DatagramChannel(SocketChannel):
    # ---- receiving ------------------------------------------------------------------------

    cdef Py_ssize_t collect(self, object arrived) except -2:
        """Receive what is there, some of it: (data, address) of each is put at the end of the deque `arrived`.

        Returns how many, -1 if it would block. `full` tells whether there may be more. Raises OSError.
        """
        cdef LetterBox box = box_of(self.workshop)
        cdef Py_ssize_t room = HASTEN_LETTER if addresses.internet(self.family) else CHUNK
        cdef int i, n, more = 0, most = HASTEN_LETTERS_ROOM // room
        cdef hasten_letter *letter
        self.full = False
        n = hasten_receive_letters(self.descriptor(), &box.box, most, room, &more)
        if n < 0:
            if errno == EAGAIN or errno == EINTR:
                return -1
            PyErr_SetFromErrno(OSError)
            return -2
        # What follows makes objects, and the collector may run code that receives: it gets a box of its own.
        self.workshop.letter_box = None
        self.full = more        # also if there is no memory for the objects
        for i in range(n):
            letter = &box.box.letters[i]
            self.workshop.received += letter.size
            address = self.meet(&box.box.senders[i], letter.head.msg_namelen)
            data = PyBytes_FromStringAndSize(<char *>box.box.rooms[i].iov_base, min(<Py_ssize_t>letter.size, room))
            deques.push(arrived, (data, address))
        self.workshop.letter_box = box
        self.full = more
        return n

    cdef object meet(self, const void *address, unsigned int n):
        """Return the address of a peer as Python shows it: the same object as last time, if that is still known."""
        cdef Py_ssize_t slot
        cdef bytes raw
        if n == 0:
            return None
        if self.met is None:
            self.met = [None] * (2 * PEERS)
            self.shown = [None] * (2 * PEERS)
        slot = 2 * (hasten_address_slot(<const hasten_address *>address, n) % PEERS)
        raw = self.met[slot]
        if raw is not None and PyBytes_GET_SIZE(raw) == n and memcmp(PyBytes_AS_STRING(raw), address, n) == 0:
            shown = self.met[slot + 1]
        else:
            raw = addresses.raw(<hasten_address *>address, n)
            shown = addresses.shown(raw)
            self.met[slot] = raw
            self.met[slot + 1] = shown
        slot = place_of(shown)
        if self.shown[slot] is not shown:
            self.shown[slot] = shown
            self.shown[slot + 1] = raw
        return shown

    # ---- sending --------------------------------------------------------------------------

    cdef bytes packed(self, object address):
        """Return the kernel's form of an address; None if only the socket's own method can tell what it is."""
        cdef Py_ssize_t slot
        if self.shown is not None:
            slot = place_of(address)
            if self.shown[slot] is address and address is not None:
                return self.shown[slot + 1]
        return addresses.packed(self.family, address)

    cdef Py_ssize_t post(self, object letters) except -3:
        """Send the first of a deque's datagrams with one system call, and return how many; -1 if it would block.

        Each is bytes, or (bytes, packed address). One of another form ends them, and is not the first. -2: the first one
        met an error, which raise_failure() raises once it was taken off. No other code runs meanwhile.
        """
        cdef hasten_letter out[HASTEN_LETTERS_OUT]
        cdef iovec pieces[HASTEN_LETTERS_OUT]
        cdef Py_ssize_t i = 0, k, n = min(len(letters), HASTEN_LETTERS_OUT)
        cdef bytes data, address
        cdef int sent
        # by index, and without holding them: see Channel.send_many()
        while i < n:
            letter = PySequence_GetItem(letters, i)
            address = None
            if type(letter) is bytes:
                data = letter
            elif len(<tuple>letter) == 2:
                data = <bytes>PyTuple_GET_ITEM(letter, 0)
                address = <bytes>PyTuple_GET_ITEM(letter, 1)
            else:
                break
            hasten_address_letter(&out[i], &pieces[i], PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            if address is not None:
                out[i].head.msg_name = PyBytes_AS_STRING(address)
                out[i].head.msg_namelen = <socklen_t>PyBytes_GET_SIZE(address)
            i += 1
        sent = hasten_send_letters(self.descriptor(), out, <int>i)
        if sent >= 0:
            for k in range(sent):
                self.workshop.sent += pieces[k].iov_len
            return sent
        if errno == EAGAIN or errno == EINTR:
            return -1
        self.failure = errno
        return -2

    cdef int raise_failure(self) except -1:
        """Raise the OSError that post() met. To make it may run the collector, and so anything."""
        errno_set(self.failure)
        PyErr_SetFromErrno(OSError)
        return -1

    cdef bint post_by_method(self, bytes data, object address) except -1:
        """Send one datagram by the socket's own method, which may look a name up; return False if it would block."""
        made = self.made
        try:
            if self.peer is not None:
                made.send(data)
            else:
                made.sendto(data, address)
        except (BlockingIOError, InterruptedError):
            return False
        self.workshop.sent += PyBytes_GET_SIZE(data)
        return True


cdef class ForeignDatagramChannel(DatagramChannel):
    """What has methods of its own, or addresses that are not known here: the methods are called."""

    cdef Py_ssize_t collect(self, object arrived) except -2:
        made = self.made
        self.full = False
        try:
            data, address = made.recvfrom(CHUNK)
            data = buffers.exact(data)
        except (BlockingIOError, InterruptedError):
            return -1
        if self.fd < 0:     # closed meanwhile: there is nothing to report
            return -1
        self.workshop.received += len(data)
        arrived.append((data, address))
        self.full = True
        return 1

    cdef bytes packed(self, object address):
        return None


cdef Py_ssize_t place_of(object shown) noexcept:
    """Return where an object is looked for in `DatagramChannel.shown`."""
    return 2 * (((<size_t><PyObject *>shown) >> 4) % PEERS)


cpdef DatagramChannel hold(object sock):
    """Take over a nonblocking socket of datagrams, or what has its methods. Its owner closes it, or close()."""
    cdef DatagramChannel channel
    cdef bint foreign = not socket_channel.is_true_socket(sock) or socket_channel.has_own_methods(sock, _METHODS)
    channel = ForeignDatagramChannel() if foreign or not addresses.known(int(sock.family)) else DatagramChannel()
    socket_channel.take_over(channel, sock)
    channel.unseen = type(channel) is ForeignDatagramChannel
    channel.peer = socket_channel.name_of(channel, True, &channel.peer_shown)
    return channel
