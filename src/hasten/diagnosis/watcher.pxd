cimport cython
from hasten.core.probe cimport Observer
from hasten.core.ready cimport Ready
from hasten.core.scheduler cimport Scheduler
from hasten.core.task cimport Task
cimport hasten.kernel.stalls as stalls
cimport hasten.kernel.step as step
from hasten.kernel.stalls cimport Watched

cdef extern from *:
    """
    #define HASTEN_NAME_AT(t) ((size_t)((char *)&(t)->name - (char *)(t)))
    #define HASTEN_ORIGIN_AT(t) ((size_t)((char *)&(t)->origin - (char *)(t)))
    #define HASTEN_ORIGIN_AT_AT(t) ((size_t)((char *)&(t)->origin_at - (char *)(t)))
    #define HASTEN_NUMBER_AT(t) ((size_t)((char *)&(t)->number - (char *)(t)))
    """
    size_t name_at "HASTEN_NAME_AT"(Task task) noexcept
    size_t origin_at "HASTEN_ORIGIN_AT"(Task task) noexcept
    size_t origin_at_at "HASTEN_ORIGIN_AT_AT"(Task task) noexcept
    size_t number_at "HASTEN_NUMBER_AT"(Task task) noexcept

cdef inline int show_fields(Task any_one) except -1:
    """Tell the thread of C where tasks have what names them."""
    return stalls.know_tasks(Task, name_at(any_one), origin_at(any_one), origin_at_at(any_one), number_at(any_one))

cdef class Watcher(Observer):
    cdef Watched watched
    cdef object report
    cdef readonly double awake      # since when, by time.monotonic(); 0: it sleeps, or does not run
    cdef public tuple sampled       # by a thread of Python: (since, 0.0, computed, of, moving, missed, samples), or None
    cdef public object thread       # that runs the loop, by threading.get_ident()
    cdef public object native       # by which the kernel knows it; None: unknown

    @cython.locals(watched=Watched, ours=Scheduler)
    cpdef bint watch(self, object loop, double threshold, double hang, bint by_c) except -1
    @cython.locals(watched=Watched)
    cdef int wakes(self, double now) except -1
    @cython.locals(watched=Watched, since=double)
    cdef int sleeps(self, object loop) except -1
    @cython.locals(watched=Watched, now=double)
    cdef int hand_on(self, object loop, double since) except -1
    @cython.locals(watched=Watched)
    cpdef int let_go(self) except -1
    cpdef loop_ends(self, object loop)
    cpdef poll_begins(self, object loop, double timeout)
    cpdef poll_ends(self, object loop, double now)

@cython.locals(ours=Scheduler, queue=Ready, now=double)
cpdef Py_ssize_t waiting(object loop) except -1
