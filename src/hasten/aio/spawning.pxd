cimport cython
cimport hasten.core.task as tasks
cimport hasten.kernel.step as step
from hasten.core.scheduler cimport Scheduler

@cython.locals(loop=Scheduler)
cdef object start(object running, object coro, object name, object context)
