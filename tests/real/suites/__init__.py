"""Other libraries' own tests, run on asyncio's loop and on hasten's, and compared test by test."""
