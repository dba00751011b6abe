"""psycopg: PostgreSQL by TCP and unix socket: queries, copies, pipelines, notices, a pool, cancelled queries."""

import asyncio
import os

import psycopg
from common import right_loop
from psycopg_pool import AsyncConnectionPool

DATABASE = dict(word.split("=") for word in os.environ["USERS_DATABASE"].split())


async def value(connection, query, *arguments):
    return (await (await connection.execute(query, arguments)).fetchone())[0]


async def queries(connection):
    print("one", await value(connection, "select 6 * 7"))
    big = os.urandom(8_000_000)
    print("big", await value(connection, "select %s::bytea", big) == big)
    async with connection.cursor() as cursor:
        await cursor.execute("create temp table t (n int primary key, word text)")
        await cursor.executemany("insert into t values (%s, %s)", [(n, f"word {n}") for n in range(2_000)])
        async with cursor.copy("copy t (n, word) from stdin") as copy:
            for number in range(2_000, 30_000):
                await copy.write_row((number, "copied"))
        total = 0
        async with cursor.copy("copy t to stdout") as copy:
            async for row in copy.rows():
                total += int(row[0])
        print("copied", total)
        total = 0
        async for row in cursor.stream("select n from t"):
            total += row[0]
        print("streamed", total)
    async with connection.cursor(name="server_side") as cursor:
        await cursor.execute("select n from t")
        print("server side", sum([row[0] async for row in cursor]))
    try:
        async with connection.transaction():
            await connection.execute("delete from t")
            await connection.execute("insert into t values (1, 'a'), (1, 'b')")
    except psycopg.errors.UniqueViolation as error:
        print("rolled back", error.sqlstate, await value(connection, "select count(*) from t"))
    async with connection.pipeline():
        cursors = [await connection.execute("select %s::int", (number,)) for number in range(500)]
        print("pipeline", sum([(await cursor.fetchone())[0] for cursor in cursors]))
    await connection.commit()


async def interrupted(connection):
    await connection.set_autocommit(True)
    task = asyncio.create_task(connection.execute("select pg_sleep(100)"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print("cancelled, goes on", task.cancelled(), await value(connection, "select 2"))
    try:
        async with asyncio.timeout(0.1):
            await connection.execute("select pg_sleep(100)")
    except TimeoutError:
        print("timed out, goes on", await value(connection, "select 3"))
    task = asyncio.create_task(connection.execute("select pg_sleep(100)"))
    await asyncio.sleep(0.05)
    await connection.cancel_safe(timeout=20)
    try:
        await task
    except psycopg.errors.QueryCanceled as error:
        print("cancelled by the server", error.sqlstate)


async def notices(connection, other):
    await connection.execute("listen news")

    async def send():
        for number in range(100):
            await other.execute(f"notify news, '{number}'")

    sending = asyncio.create_task(send())
    got = [notice.payload async for notice in connection.notifies(timeout=30, stop_after=100)]
    await sending
    print("notices", sorted(got, key=int)[:100] == [str(number) for number in range(100)])
    print("no more", [notice async for notice in connection.notifies(timeout=0.05)])


async def pool(address):
    async with AsyncConnectionPool(address, min_size=3, max_size=10) as connections:

        async def one(number):
            async with connections.connection() as connection:
                await connection.execute("select pg_sleep(0.001)")
                return await value(connection, "select %s::int + 1", number)

        print("pool", sum(await asyncio.gather(*(one(number) for number in range(300)))))


async def main():
    right_loop()
    connect = psycopg.AsyncConnection.connect
    async with await connect(**DATABASE) as connection:
        folder = await value(connection, "show unix_socket_directories")
    for title, host in (("tcp", DATABASE["host"]), ("unix", folder)):
        print(title)
        address = psycopg.conninfo.make_conninfo(**{**DATABASE, "host": host})
        async with await connect(address) as connection, await connect(address, autocommit=True) as other:
            await queries(connection)
            await interrupted(connection)
            await notices(connection, other)
            waiting = asyncio.create_task(connection.execute("select pg_sleep(100)"))
            await asyncio.sleep(0.1)
            await other.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
            try:
                await waiting
            except psycopg.OperationalError:
                print("lost", connection.closed)
        await pool(address)
    try:
        await psycopg.AsyncConnection.connect("host=127.0.0.1 port=1")
    except psycopg.OperationalError as error:
        print("refused", "refused" in str(error))


if __name__ == "__main__":
    asyncio.run(main())
