# A cheap counter of time: is it time to poll? The plain twin is clock.py.

cdef extern from "clock.h":
    unsigned long long due "hasten_due"(double now, double wait) noexcept
    unsigned long long count "hasten_count"() noexcept
    bint reached "hasten_count_reached"(unsigned long long due) noexcept
