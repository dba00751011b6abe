"""In the path of every Python process that a program starts: such a process gets hasten's loop as the program does.

USERS_WAY says how. In the way "run", as without hasten, there is nothing to do: what `hasten run` starts are ordinary
pythons.
"""

import os

if os.environ.get("USERS_WAY") == "install":
    import hasten

    hasten.install()
elif os.environ.get("USERS_WAY") == "loop":
    import hasten
    from hasten.aio import install

    install.default_policy_class()._loop_factory = staticmethod(hasten.new_event_loop)
