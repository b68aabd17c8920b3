#!/usr/bin/env python3
"""Write the rows and indexes of a finished warehouse again, into new files, and nothing else.

    floor.py WAREHOUSE OUT

This is the floor: nothing that also parses, checks, joins and reports can be faster. There is a thread per
file, and no transaction is safe. To read the rows is not counted. Prints seconds and core-seconds.
"""
import sys
import threading
import time
from pathlib import Path

import adbc_driver_sqlite.dbapi as adbc
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lib.steps import STEPS
from lib.storage.files import sync
from lib.storage.layer import PAGE_BYTES, SORT_CACHE_KIB, WRITE_CACHE_KIB, Layer, open_layer
from lib.storage.sql import literal, quote, quoted

STAMPS = {"batch_id", "process_name", *(step.timestamp for step in STEPS.values())}  # the same in every row
OBJECTS = pa.schema([("type", pa.string()), ("name", pa.string()), ("sql", pa.string())])


def read(layer: Layer) -> tuple[list[tuple[str, str, pa.Table]], list[str]]:
    """Return each table of a layer (its name, the SQL that makes it, its rows), and its indexes' SQL."""
    sql = "select type, name, sql from sqlite_schema where sql is not null"
    objects = layer.query(sql, OBJECTS).to_pylist()
    tables = [(one["name"], one["sql"], layer.read(one["name"], layer.schema(one["name"]).names))
              for one in objects if one["type"] == "table" and not one["name"].startswith("sqlite_")]
    return tables, [one["sql"] for one in objects if one["type"] == "index"]


def write(path: Path, tables: list[tuple[str, str, pa.Table]], indexes: list[str]) -> None:
    with adbc.connect(str(path), autocommit=True) as connection, connection.cursor() as cursor:
        for pragma in (f"page_size = {PAGE_BYTES}", "journal_mode = off", "synchronous = off",
                       f"cache_size = -{WRITE_CACHE_KIB}"):
            cursor.execute(f"pragma {pragma}")
        cursor.execute("begin")
        for name, sql, rows in tables:
            cursor.execute(sql)
            if rows.num_rows:
                same = {stamp: rows[stamp][0].as_py() for stamp in rows.column_names if stamp in STAMPS}
                differing = rows.drop_columns([*same])
                values = ", ".join([*"?" * differing.num_columns, *map(literal, same.values())])
                cursor.executemany(f"insert into {quote(name)} ({quoted([*differing.column_names, *same])}) "
                                   f"values ({values})", differing)
        cursor.execute(f"pragma cache_size = -{SORT_CACHE_KIB}")
        for sql in indexes:
            cursor.execute(sql)
        cursor.execute("commit")
    sync(path)


def main() -> None:
    warehouse, out = map(Path, sys.argv[1:3])
    layers = {}
    for name in ("raw", "curated", "gold"):
        with open_layer(warehouse, name) as layer:
            layers[name] = read(layer)
    out.mkdir(parents=True, exist_ok=True)
    wall, core = time.perf_counter(), time.process_time()
    threads = [threading.Thread(target=write, args=(out / f"{name}.db", *found))
               for name, found in layers.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{time.perf_counter() - wall:.2f} {time.process_time() - core:.2f}")


if __name__ == "__main__":
    main()
