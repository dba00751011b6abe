"""The scheduler and what it schedules: tasks, futures, handles, timers."""
