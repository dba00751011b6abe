"""The asyncio topics as users know them."""
