"""Pollers: which file descriptors are ready."""
