"""Fixtures `world`, `settle` and `hijacked`: see worlds.py."""

from ..worlds import hijacked, pytest_configure, pytest_generate_tests, settle

__all__ = ["hijacked", "pytest_configure", "pytest_generate_tests", "settle"]
