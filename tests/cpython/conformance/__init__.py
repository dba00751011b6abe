"""Runs the interpreter's own `test.test_asyncio` on hasten. See `tests/cpython/README.md`."""
