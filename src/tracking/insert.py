"""Many rows into a table, by the quickest way that its database has, in the session's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from .rows import Row

ROWS_A_STATEMENT = 40  # half the time of one by one; any sqlite takes as many variables


def insert_rows(session: Session, model: Any, rows: Sequence[Row]) -> None:
    """Insert the rows, each in the order of the table's columns. Raises SQLAlchemy's errors."""
    if not rows:
        return
    connection = session.connection()
    match connection.dialect.name, connection.dialect.driver:
        case "sqlite", _:
            _by_many(connection, model.__table__, rows)
        case "postgresql", "psycopg":
            _by_copy(connection, model.__table__, rows)
        case _:
            names = model.__table__.columns.keys()
            session.execute(insert(model.__table__), [dict(zip(names, row, strict=True)) for row in rows])


def _by_many(connection: Connection, table: Any, rows: Sequence[Row]) -> None:
    """Straight to sqlite's driver, which takes them by position, many with one statement.

    OR ROLLBACK: what fails ends the whole transaction, or sqlite would keep a journal for each statement.
    """
    single = str(insert(table).prefix_with("OR ROLLBACK").compile(dialect=connection.dialect))
    together = len(rows) - len(rows) % ROWS_A_STATEMENT
    if together:
        marks = ", ".join("?" * len(rows[0]))
        joined = [
            tuple(chain.from_iterable(rows[start : start + ROWS_A_STATEMENT]))
            for start in range(0, together, ROWS_A_STATEMENT)
        ]
        connection.exec_driver_sql(single + f", ({marks})" * (ROWS_A_STATEMENT - 1), joined)
    if rows[together:]:
        connection.exec_driver_sql(single, list(rows[together:]))


def _by_copy(connection: Connection, table: Any, rows: Sequence[Row]) -> None:
    """By PostgreSQL's COPY, in a stream that has no statement and no parameters."""
    dialect = connection.dialect
    names = ", ".join(dialect.identifier_preparer.quote(column.name) for column in table.columns)
    statement = f"COPY {table.name} ({names}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except dialect.loaded_dbapi.Error as error:  # told as SQLAlchemy tells those of its own statements
        if dialect.is_disconnect(error, driver, None):
            connection.invalidate(error)
        kind = dialect.loaded_dbapi.Error
        raise DBAPIError.instance(statement, None, error, kind, dialect=dialect) from error
