"""A native coroutine that runs another one inside itself. The plain twin is nested.py."""
cimport hasten.kernel.step as step
from hasten.core.future cimport Future
from hasten.core.task cimport Task

from hasten.primitives.coroutines import await_it

cdef extern from "hasten.h":
    int enter_call "Py_EnterRecursiveCall"(const char *where) noexcept
    void leave_call "Py_LeaveRecursiveCall"() noexcept
    object fetch_exception "hasten_fetch_exc"()


cdef class Driver(NativeCoroutine):
    cdef int drive(self) except -2:
        cdef step.Outcome out
        # without a frame of Python's nobody else counts how deep we are
        if enter_call(b" while a coroutine was run"):
            self.value = fetch_exception()
            return step.RAISED
        inner = self.inner  # held: what runs may end us
        out = step._send(inner, None)
        leave_call()
        self.value = step.take_value(out)
        return out.kind

    cdef int drive_throw(self, object exc) except -2:
        cdef step.Outcome out
        if enter_call(b" while an exception was thrown into a coroutine"):
            self.value = fetch_exception()
            return step.RAISED
        inner = self.inner
        out = step._throw(inner, None, exc, step._name_throw)
        leave_call()
        self.value = step.take_value(out)
        return out.kind

    @property
    def cr_await(self):
        """The object that it waits for, or None."""
        if self.stage != step.SUSPENDED:
            return None
        return self.future if self.inner is None else self.inner


cdef object iterator_of(object awaitable):
    """Return what an `await` of it sends into."""
    if step.is_native_coroutine(awaitable):
        # one that somebody else awaits already goes the long way, on which the interpreter says so
        return awaitable if awaitable.cr_await is None else await_it(awaitable)
    if isinstance(awaitable, NativeCoroutine):
        return awaitable if not (<NativeCoroutine>awaitable).stage & step.SUSPENDED else await_it(awaitable)
    if type(awaitable) is Future or type(awaitable) is Task:
        return awaitable.__await__()
    return await_it(awaitable)
