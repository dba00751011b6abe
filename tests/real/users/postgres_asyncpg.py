"""asyncpg: PostgreSQL by TCP and unix socket: queries, copies, notices, a pool, cancels, a lost connection."""

import asyncio
import io
import os

import asyncpg
from common import right_loop

DATABASE = dict(word.split("=") for word in os.environ["USERS_DATABASE"].split())


async def queries(connection):
    print("one", await connection.fetchval("select 6 * 7"))
    print("arguments", await connection.fetchrow("select $1::int as a, $2::text as b, $3::bytea as c", 1, "x", b"\0"))
    big = os.urandom(8_000_000)
    print("big", await connection.fetchval("select $1::bytea", big) == big)
    rows = await connection.fetch("select n, n::bigint * n as square from generate_series(1, 100000) n")
    print("many rows", len(rows), rows[-1]["square"])
    await connection.execute("create temp table t (n int primary key, word text)")
    await connection.executemany("insert into t values ($1, $2)", [(n, f"word {n}") for n in range(2_000)])
    async with connection.transaction():
        total = 0
        async for row in connection.cursor("select n from t", prefetch=100):
            total += row["n"]
    print("cursor", total)
    try:
        async with connection.transaction():
            await connection.execute("delete from t")
            await connection.execute("insert into t values (1, 'a'), (1, 'b')")
    except asyncpg.UniqueViolationError as error:
        print("rolled back", error.sqlstate, await connection.fetchval("select count(*) from t"))
    out = io.BytesIO()
    print(await connection.copy_from_query("select * from t order by n", output=out))
    out.seek(0)
    await connection.execute("truncate t")
    print(await connection.copy_to_table("t", source=out), await connection.fetchval("select word from t where n = 7"))
    await connection.execute("truncate t")

    async def records():
        for number in range(5_000):
            if not number % 1_000:
                await asyncio.sleep(0)
            yield number, "r"

    print(await connection.copy_records_to_table("t", records=records()))


async def interrupted(connection):
    try:
        await connection.fetch("select pg_sleep(100)", timeout=0.1)
    except TimeoutError:
        print("timed out, goes on", await connection.fetchval("select 1"))
    task = asyncio.create_task(connection.fetch("select pg_sleep(100)"))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print("cancelled, goes on", task.cancelled(), await connection.fetchval("select 2"))


async def notices(connection, other):
    got = asyncio.Queue()
    await connection.add_listener("news", lambda *args: got.put_nowait(args[-1]))
    for number in range(100):
        await other.execute(f"notify news, '{number}'")
    print("notices", [await got.get() for _ in range(100)] == [str(number) for number in range(100)])


async def pool(address):
    async with asyncpg.create_pool(min_size=3, max_size=10, **address) as connections:

        async def one(number):
            async with connections.acquire() as connection, connection.transaction():
                await connection.execute("select pg_sleep(0.001)")
                return await connection.fetchval("select $1::int + 1", number)

        print("pool", sum(await asyncio.gather(*(one(number) for number in range(300)))))


async def main():
    right_loop()
    address = {"port": int(DATABASE["port"]), "user": DATABASE["user"], "database": DATABASE["dbname"]}
    connection = await asyncpg.connect(host=DATABASE["host"], **address)
    folder = await connection.fetchval("show unix_socket_directories")
    await connection.close()
    for title, host in (("tcp", DATABASE["host"]), ("unix", folder)):
        print(title)
        address["host"] = host
        connection, other = await asyncpg.connect(**address), await asyncpg.connect(**address)
        await queries(connection)
        await interrupted(connection)
        await notices(connection, other)
        await pool(address)
        waiting = asyncio.create_task(other.fetch("select pg_sleep(100)"))
        await asyncio.sleep(0.1)
        await connection.execute("select pg_terminate_backend($1)", other.get_server_pid())
        try:
            await waiting
        except (asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError):
            print("lost", other.is_closed())
        await connection.close()
    try:
        await asyncpg.connect(host="127.0.0.1", port=1, user="nobody")
    except OSError as error:
        print("refused", type(error).__name__)


if __name__ == "__main__":
    asyncio.run(main())
