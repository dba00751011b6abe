from hasten.loop import new_event_loop, Loop
