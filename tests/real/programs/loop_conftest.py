"""What a project writes to run its pytest-asyncio tests on hasten's loop."""

import hasten


def pytest_asyncio_loop_factories(config, item):
    return {"hasten": hasten.new_event_loop}
