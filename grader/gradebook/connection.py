"""How the gradebook reaches its database, and how a database's errors become one line with advice."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, make_url, select, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from grader.errors import GradebookError
from grader.gradebook import classroom_tables, quiz_tables, tables

_ADVISORY_LOCK = 0x756E726F6C6C6564  # any number, the same for every grader: "unrolled"

_DAMAGED = "It was left untouched: restore a backup, or move it away with its -wal and -shm files and grade again"


def open_engine(target: Path | str, wait_seconds: float) -> tuple[Engine, str]:
    """Open the database at `target` (a path, or an SQLAlchemy URL) and lay its tables where it has none.

    Returns the engine and the name by which errors call it (never with a password). `wait_seconds` is how
    long a transaction waits for another grader's. Raises GradebookError.
    """
    url = _url_of(target)
    label = url.database if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    label = label or str(target)
    if url.get_backend_name() == "sqlite":
        _look_at_file(Path(label))
        engine = create_engine(url, connect_args={"timeout": wait_seconds})
        event.listen(engine, "connect", _prepare_sqlite)
    else:
        try:
            engine = create_engine(url, pool_pre_ping=True)
        except ImportError as error:
            raise GradebookError(
                f"PostgreSQL needs the driver psycopg 3, which cannot be loaded ({_one_line(error)})",
                where=label,
                advice='Install it with: python -m pip install "unrolled[postgresql]"',
            ) from error
        event.listen(
            engine,
            "begin",
            lambda connection: connection.exec_driver_sql(
                f"SET LOCAL lock_timeout = {max(1, round(wait_seconds * 1000))}"
            ),
        )
    event.listen(engine, "begin", _begin)
    try:
        with told_plainly(label):
            _prepare_schema(engine, label, wait_seconds)
    except BaseException:
        engine.dispose()
        raise
    return engine, label


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give a connection inside one write transaction; other graders wait for its end."""
    with engine.connect().execution_options(gradebook_writes=True) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection inside one read transaction, which sees one state of the gradebook throughout."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def told_plainly(label: str) -> Iterator[None]:
    """Turn a database's error into a GradebookError of one line about the gradebook `label`."""
    try:
        yield
    except PoolTimeout as error:
        raise _locked(label) from error
    except DBAPIError as error:
        raise _plain(error, label) from error


def tables_at(url: str) -> tuple[str, set[str]]:
    """Return how errors call another program's database, and the names of its tables; nothing is laid in it.

    Raises GradebookError in one line where it is not there or cannot be read.
    """
    try:
        parsed = make_url(url)
        label = parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() == "sqlite":
            label = str(parsed.database)
            if not Path(label).is_file():
                raise GradebookError("there is no such database", where=label)
        engine = create_engine(parsed)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise GradebookError(f"the database's URL cannot be read ({_one_line(error)})") from None
    except ImportError as error:
        raise GradebookError(f"the driver of the database cannot be loaded ({_one_line(error)})", where=label) from None
    try:
        with told_plainly(label):
            return label, set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def _url_of(target: Path | str) -> URL:
    if isinstance(target, Path) or "://" not in target:
        return URL.create("sqlite", database=str(Path(target).absolute()))
    advice = "Give a file, or a URL such as postgresql://user@host/database"
    try:
        url = make_url(target)
        backend = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise GradebookError("the gradebook's URL cannot be read", advice=advice) from error
    if backend == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise GradebookError("a gradebook in memory would be lost at once", advice=advice)
        return URL.create("sqlite", database=str(Path(str(url.database)).absolute()))
    if backend not in ("postgresql", "postgres"):
        raise GradebookError(f"a gradebook cannot be kept in {backend!r}", advice=advice)
    return url.set(drivername="postgresql+psycopg")


def _look_at_file(path: Path) -> None:
    """Make the folder if it is not there; refuse what cannot be a readable file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise GradebookError("is a folder, not a gradebook", where=path, advice="Name a file")
        if path.exists():
            path.open("rb").close()  # SQLite says of a file that it may not read only that it is unable
    except OSError as error:
        raise _unwritable(str(path), error.strerror or str(error)) from error


def _prepare_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    # Transactions are begun by _begin below; the driver must not begin its own.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # With a write-ahead log, NORMAL loses nothing when the process is killed; only a power cut can take back
    # the last commits, and it leaves the file whole.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Take the write lock at the start: two graders then wait for each other instead of failing half-way."""
    writes = bool(connection.get_execution_options().get("gradebook_writes"))
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    elif writes:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _prepare_schema(engine: Engine, label: str, wait_seconds: float) -> None:
    # Look before writing: a file of another program, or of a newer grader, is left as it is.
    with reading(engine) as connection:
        ready = _recognised(connection, label) and _complete(connection)
    if engine.dialect.name == "sqlite":
        _use_write_ahead_log(engine, wait_seconds)
    if ready:
        return
    with writing(engine) as connection:
        known = _recognised(connection, label)  # another grader may have been faster
        # what is there stays; an older gradebook gets the tables that were added later
        tables.metadata.create_all(connection)
        if not known:
            connection.execute(
                insert(tables.meta).values(key="schema", value=str(tables.SCHEMA_VERSION)),
            )


def _complete(connection: Connection) -> bool:
    """Return whether the gradebook has every table; an older one lacks those that were added later."""
    needed = {*tables.metadata.tables, quiz_tables.sittings.name, classroom_tables.scores.name}
    return needed <= set(inspect(connection).get_table_names())


def _recognised(connection: Connection, label: str) -> bool:
    """Return whether the tables are there; refuse those of another program or of a newer grader."""
    existing = set(inspect(connection).get_table_names())
    if tables.meta.name not in existing:
        foreign = existing if connection.dialect.name == "sqlite" else existing & set(tables.metadata.tables)
        if foreign:
            raise GradebookError(
                "is a database, but no gradebook",
                where=label,
                advice="It was left untouched: name another",
            )
        return False
    version = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == "schema")).scalar()
    if version is None or not version.isdigit():
        raise GradebookError("the gradebook does not say its version", where=label, advice=_DAMAGED)
    if int(version) > tables.SCHEMA_VERSION:
        raise GradebookError(
            f"the gradebook was written by a newer grader (schema {version}, this one reads up to"
            f" {tables.SCHEMA_VERSION})",
            where=label,
            advice="It was left untouched: update with: python -m pip install --upgrade unrolled",
        )
    return True


def _use_write_ahead_log(engine: Engine, wait_seconds: float) -> None:
    # The switch needs the file for itself for a moment, and SQLite does not wait for that on its own.
    until = time.monotonic() + wait_seconds
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        while True:
            try:
                cursor.execute("PRAGMA journal_mode = WAL")
                cursor.fetchall()
                return
            except sqlite3.OperationalError as error:
                if _sqlite_name(error) not in ("SQLITE_BUSY", "SQLITE_LOCKED") or time.monotonic() > until:
                    raise _plain_sqlite(error, str(engine.url.database)) from error
                time.sleep(0.02)
    finally:
        raw.close()


def _sqlite_name(error: BaseException | None) -> str:
    """Return the primary name of SQLite's error code, such as SQLITE_IOERR for SQLITE_IOERR_WRITE."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return "_".join(str(name).split("_")[:2])


def _plain(error: DBAPIError, label: str) -> GradebookError:
    cause = error.orig
    return _plain_sqlite(cause, label) if isinstance(cause, sqlite3.Error) else _plain_postgres(cause, label)


def _plain_sqlite(cause: BaseException, label: str) -> GradebookError:
    match _sqlite_name(cause):
        case "SQLITE_NOTADB" | "SQLITE_CORRUPT":
            return GradebookError(f"the gradebook is damaged ({cause})", where=label, advice=_DAMAGED)
        case "SQLITE_FULL":
            return _full(label)
        case "SQLITE_BUSY" | "SQLITE_LOCKED":
            return _locked(label)
        case "SQLITE_READONLY" | "SQLITE_CANTOPEN" | "SQLITE_PERM":
            return _unwritable(label, str(cause))
        case "SQLITE_IOERR":
            return GradebookError(
                f"the gradebook cannot be read or written ({cause})",
                where=label,
                advice="What was recorded before is kept: check for a full disk, then run the same again",
            )
    return GradebookError(
        f"the gradebook answers: {_one_line(cause)}",
        where=label,
        advice="What was recorded before is kept",
    )


def _plain_postgres(cause: BaseException | None, label: str) -> GradebookError:
    state = getattr(cause, "sqlstate", None)
    if state == "53100":
        return _full(label)
    if state in ("55P03", "40P01", "57014"):
        return _locked(label)
    if state in ("25006", "42501"):
        return GradebookError(
            f"the database does not let you write ({_one_line(cause)})",
            where=label,
            advice="Ask its owner for the right to create and fill tables",
        )
    if state is None or state.startswith(("08", "28", "57", "3D")):
        return GradebookError(
            f"the database cannot be reached ({_one_line(cause)})",
            where=label,
            advice="Check that the server runs and that host, database, user and password are right",
        )
    return GradebookError(f"the database answers: {_one_line(cause)}", where=label)


def _full(label: str) -> GradebookError:
    return GradebookError(
        "the disk is full",
        where=label,
        advice="Nothing recorded before is lost: make room and run the same command again, it continues",
    )


def _locked(label: str) -> GradebookError:
    return GradebookError(
        "another program keeps the gradebook locked",
        where=label,
        advice="Wait for it to end (another grader, a database browser?) and run the same command again",
    )


def _unwritable(label: str, why: str) -> GradebookError:
    return GradebookError(
        f"the gradebook cannot be opened for writing ({why})",
        where=label,
        advice="Check that you may write to this file and its folder, or choose another gradebook",
    )


def _one_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
