"""The sanitizer leg builds everything anew and takes minutes: it runs by `make sanitize`, or `pytest -m sanitize`."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sanitize: needs a build with AddressSanitizer; run by make sanitize")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "sanitize" not in str(config.option.markexpr):
        for item in items:
            if item.get_closest_marker("sanitize"):
                item.add_marker(pytest.mark.skip(reason="builds with sanitizers, which takes minutes: make sanitize"))
