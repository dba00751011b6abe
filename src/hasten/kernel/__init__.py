"""Mechanism without policy: sending into coroutines, system calls."""
