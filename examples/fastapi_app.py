"""A FastAPI application; serve it on hasten's loop with uvicorn:

uvicorn --app-dir examples --loop hasten:new_event_loop fastapi_app:app
"""

import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def root():
    return {"message": "Hello"}


@app.get("/items/{number}")
async def item(number: int):
    await asyncio.sleep(0)
    return {"number": number, "square": number * number}


@app.get("/loop")
async def loop():
    kind = type(asyncio.get_running_loop())
    return {"loop": f"{kind.__module__}.{kind.__qualname__}"}


@app.get("/thread")
def in_a_thread():
    return {"sum": sum(range(100))}
