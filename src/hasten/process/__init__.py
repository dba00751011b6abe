"""Child processes: how they are started, their transport, and how the loop learns of their end."""
