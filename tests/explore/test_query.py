"""The query tool: the same rows in every format, nothing changed by anything, errors that help, its menu."""

import csv
import io
import json
import os
import re
import shlex
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from datetime import UTC, date, datetime
from pathlib import Path

import pexpect
import pyarrow as pa
import pytest
from commands import WITHOUT_ROOTS_POWERS
from conftest import LAYERS, Shop
from documents import PAGES, blocks
from pyarrow import parquet
from python_calamine import CalamineWorkbook

from lib.explore.readonly import Rows, open_database, select
from lib.explore.table import PAGE, cell, pages

ENDLESS = ("with recursive numbers(n) as (select 1 union all select n + 1 from numbers) "
           "select max(n) from numbers")


# What is shown

def test_alone_it_lists_every_table_with_its_rows(ask, loaded: Shop):
    listed = {(row["database"], row["table"]): row["rows"] for row in json.loads(ask("--format", "json"))}
    tables = {(layer, table) for layer in LAYERS for (table,) in loaded.query(
        layer, "select name from sqlite_schema where type = 'table' and name not like 'sqlite%'")}
    assert set(listed) == tables
    assert listed["gold", "reporting_sales_wide"] == 3064
    assert {row["table"] for row in json.loads(ask("audit", "--format", "json"))} == {
        "pipeline_execution_log", "pipeline_manifest", "pipeline_watermark"}


def test_a_table_is_shown_in_order_of_its_key_with_types_and_cents(ask, loaded: Shop):
    lines = ask("gold", "sales_summary_daily", "--limit", "3").splitlines()
    assert lines[0].split()[:4] == ["order_date", "orders", "total_sales", "units"]
    assert lines[1].split()[:4] == ["text", "integer", "real", "real"]
    days = loaded.query("gold", "select order_date, orders, total_sales, units from sales_summary_daily "
                                "order by order_date limit 3")
    assert [line.split()[:4] for line in lines[2:5]] == [[day, str(orders), f"{sales:,.2f}", f"{units:,.0f}"]
                                                         for day, orders, sales, units in days]
    ends = {re.match(r".*?\S+ +\S+ +(\S+)", line).end() for line in lines[:5]}
    assert len(ends) == 1, "amounts stand flush right"
    assert lines[-1] == "… the first 3 rows; there are more"


@pytest.mark.parametrize("database, table, key", [("audit", "pipeline_watermark", "process_name"),
                                                  ("gold", "sales_summary_daily", "order_date")])
def test_rows_written_last_stand_where_their_key_belongs(database: str, table: str, key: str, ask,
                                                         used: Shop):
    with closing(sqlite3.connect(used.warehouse / f"{database}.db")) as writer, writer:
        writer.execute(f"update {table} set {key} = '1' where rowid = (select max(rowid) from {table})")
    (row,) = json.loads(ask(database, table, "--limit", "1", "--format", "json", warehouse=used.warehouse))
    assert row[key] == "1"


def test_money_has_two_decimals_quantities_what_they_need_and_a_mean_what_it_has():
    (page,) = pages(Rows(["amount", "quantity", "mean", "noise"],
                         iter([(5.0, 2.0, 1 / 3, 0.1 + 0.2), (1234.5, 0.25, 1.0, 7.0)])), {})
    assert [line.split() for line in page.splitlines()[2:4]] == [["5.00", "2.00", "0.333333", "0.30"],
                                                                 ["1,234.50", "0.25", "1.000000", "7.00"]]
    (page,) = pages(Rows(["quantity"], iter([(2.0,), (-1.0,)])), {})
    assert page.split()[2:] == ["2", "-1"]


def test_every_format_holds_the_same_rows(ask, loaded: Shop):
    sql = ("select customer_id, first_name, orders, lifetime_value from reporting_customer_stats "
           "order by customer_id")
    rows = loaded.query("gold", sql)
    assert [tuple(row.values()) for row in json.loads(ask("gold", "--sql", sql, "--format", "json"))] == rows
    as_text = [["" if value is None else str(value) for value in row] for row in rows]
    header = ["customer_id", "first_name", "orders", "lifetime_value"]
    assert list(csv.reader(io.StringIO(ask("gold", "--sql", sql, "--format", "csv")))) == [header, *as_text]
    lines = ask("gold", "--sql", sql, "--format", "md").splitlines()
    assert lines[1] == "| --- | --- | ---: | ---: |"
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [row[0] for row in rows]
    assert lines[2].endswith(f"| {rows[0][3]:,.2f} |")
    table = ask("gold", "--sql", sql)
    assert all(re.search(rf"(?m)^{row[0]} .* {row[3]:,.2f}$", table) for row in rows)


def test_an_empty_answer_is_empty_in_every_format(ask):
    sql = "select 1 as one, 'x' as x where 0"
    assert json.loads(ask("gold", "--sql", sql, "--format", "json")) == []
    assert ask("gold", "--sql", sql, "--format", "csv") == "one,x\n"
    assert ask("gold", "--sql", sql, "--format", "md") == "| one | x |\n| --- | --- |\n"
    assert ask("gold", "--sql", sql).split() == ["one", "x"]


def test_csv_makes_formulas_inert_and_leaves_numbers_and_other_text(ask):
    sql = ("select '=1+1' as a, '+49' as b, '-x' as c, '@sum' as d, char(9) || 'x' as e, "
           "char(13) || 'x' as f, -5 as g, -1.5 as h, "
           "'a=b' as i, null as j, 'x,\"y\"' as k, 1 as '=k'")
    header, row = csv.reader(io.StringIO(ask("gold", "--sql", sql, "--format", "csv"), newline=""))
    assert row == ["'=1+1", "'+49", "'-x", "'@sum", "'\tx", "'\rx", "-5", "-1.5", "a=b", "", 'x,"y"', "1"]
    assert header[-1] == "'=k"


def test_columns_of_one_name_are_told_apart(ask):
    (row,) = json.loads(ask("gold", "--sql", "select 1 as a, 2 as a, 3 as a_2, 4 as a", "--format", "json"))
    assert row == {"a": 1, "a_2": 2, "a_2_2": 3, "a_3": 4}


def test_what_would_steer_a_terminal_or_a_page_is_text(ask):
    sql = ("select char(27) || '[2J' as a, 'one' || char(10) || 'two' as b, char(8238) || 'x' as c, "
           "'<b>|`' as d")
    assert ask("gold", "--sql", sql).splitlines()[2].split() == ["␛[2J", "one␊two", "\\u202ex", "<b>|`"]
    assert "\\<b>\\|\\`" in ask("gold", "--sql", sql, "--format", "md")
    assert cell(b"\x00\xff") == "00ff"


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_table_is_no_wider_than_the_terminal_and_has_every_column(width: int, loaded: Shop):
    with open_database(loaded.warehouse, "gold") as database:
        table = database.tables["reporting_sales_wide"]
        shown = next(pages(select(database, table.rows.sql), table.columns, width))
    shown = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, shown.splitlines())) <= width
    words = set(shown.split())
    assert all(name in words or name[:width // 2 - 2] in words for name in table.columns)
    bands = shown.count("order_line_id")
    assert bands > 1 and len(re.findall(r"(?m)^00000001\b", shown)) == bands, "each part begins with the key"
    assert shown.count("\n") >= PAGE


# Files

def test_parquet_has_dates_moments_and_numbers_as_such(ask, loaded: Shop, tmp_path: Path):
    file = tmp_path / "days.parquet"
    assert ask("gold", "sales_summary_daily", "--export", str(file)) == f"60 rows in {file}\n"
    table = parquet.read_table(file)
    assert table.schema.field("order_date").type == pa.date32()
    assert table.schema.field("orders").type == pa.int64()
    assert table.schema.field("total_sales").type == pa.float64()
    assert table.schema.field("aggregation_timestamp").type == pa.timestamp("us", tz="UTC")
    sql = "select order_date, total_sales, aggregation_timestamp from sales_summary_daily order by order_date"
    day, sales, moment = loaded.query("gold", sql)[0]
    first = table.to_pylist()[0]
    assert (first["order_date"], first["total_sales"]) == (date.fromisoformat(day), sales)
    assert first["aggregation_timestamp"] == datetime.fromisoformat(moment).replace(tzinfo=UTC)


def test_unit_prices_show_all_their_decimals_and_only_these_in_every_form(ask, tmp_path: Path):
    prices = [0.0125, 999999.000001, 123456789012.345, 10.5]
    values = ", ".join(f"({price})" for price in prices)
    sql = f"select column1 as unit_price, 2 * column1 as other from (values {values})"
    shown = [line.split()[0] for line in ask("gold", "--sql", sql).splitlines()[2:6]]
    assert shown == ["0.012500", "999,999.000001", "123,456,789,012.345000", "10.500000"]
    assert "| 0.012500 | 0.025000 |" in ask("gold", "--sql", sql, "--format", "md")
    few = "select 10.5 as unit_price, 0.1 + 0.2 as total"
    assert ask("gold", "--sql", few).split()[-2:] == ["10.50", "0.30"]
    rows = csv.DictReader(io.StringIO(ask("gold", "--sql", sql, "--format", "csv")))
    assert [float(row["unit_price"]) for row in rows] == prices
    ask("gold", "--sql", sql, "--export", str(tmp_path / "prices.parquet"))
    assert parquet.read_table(tmp_path / "prices.parquet")["unit_price"].to_pylist() == prices
    ask("gold", "--sql", sql, "--export", str(tmp_path / "prices.xlsx"))
    assert [row["unit_price"] for row in sheet(tmp_path / "prices.xlsx")] == prices


def test_parquet_of_raw_stays_text_and_an_empty_table_keeps_its_types(ask, tmp_path: Path):
    ask("raw", "orders", "--export", str(tmp_path / "orders.parquet"))
    orders = parquet.read_schema(tmp_path / "orders.parquet")
    assert {orders.field(name).type
            for name in ("order_date", "total_amount", "ingestion_timestamp")} == {pa.string()}
    ask("curated", "quarantine", "--export", str(tmp_path / "quarantine.parquet"))
    quarantine = parquet.read_table(tmp_path / "quarantine.parquet")
    assert quarantine.num_rows == 0
    assert quarantine.schema.field("source_row").type == pa.int64()
    assert quarantine.schema.field("quarantined_timestamp").type == pa.timestamp("us", tz="UTC")


def test_parquet_of_a_select_has_types_that_hold_every_value(ask, tmp_path: Path):
    sql = ("select column1 as a, column2 as b, column3 as c, column4 as a_date, column5 as e "
           "from (values (null, 1, 'x', '2026-02-28', x'01'), (2, 2.5, 3, '2026-02-31', null)) "
           "where 'a;b' <> ';' -- two; rows\n; -- no more")
    ask("gold", "--sql", sql, "--export", str(tmp_path / "x.parquet"))
    table = parquet.read_table(tmp_path / "x.parquet")
    assert [str(field.type) for field in table.schema] == ["int64", "double", "string", "string", "binary"]
    assert table.to_pylist() == [{"a": None, "b": 1.0, "c": "x", "a_date": "2026-02-28", "e": b"\x01"},
                                 {"a": 2, "b": 2.5, "c": "3", "a_date": "2026-02-31", "e": None}]


def test_a_moment_that_is_not_one_keeps_the_column_text(ask, tmp_path: Path):
    moments = ("2026-01-05 05:15:001", "2026-01-05 05:15:00..1", "2026-01-05T05:15:00")
    for number, moment in enumerate(moments):
        file = tmp_path / f"{number}.parquet"
        sql = f"select '{moment}' as a_time union all select '2026-01-05'"
        ask("gold", "--sql", sql, "--export", str(file))
        assert parquet.read_table(file)["a_time"].to_pylist() == [moment, "2026-01-05"]


def sheet(path: Path) -> list[dict[str, object]]:
    """Return the rows of a workbook's only sheet, by the names in its header."""
    header, *rows = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_a_limit_holds_for_files_too(ask, tmp_path: Path):
    for suffix in ("csv", "parquet", "xlsx"):
        file = str(tmp_path / f"x.{suffix}")
        assert ask("gold", "reporting_sales_wide", "--limit", "7", "--export", file).startswith("7 rows")
    assert len((tmp_path / "x.csv").read_text().splitlines()) - 1 == 7
    assert parquet.read_table(tmp_path / "x.parquet").num_rows == len(sheet(tmp_path / "x.xlsx")) == 7


def test_no_file_is_overwritten_and_none_is_left_half_written(ask, tmp_path: Path):
    kept = tmp_path / "kept.csv"
    kept.write_text("mine")
    late = ("select json(case order_date when '2025-12-01' then '{' else 1 end) from sales_summary_daily "
            "order by order_date")

    def refusal(file: Path, *what: str, expect: int = 2) -> str:
        return ask("gold", *what or ["sales_summary_daily"], "--export", str(file), expect=expect)

    assert re.search("kept.csv exists.* another", refusal(kept))
    assert kept.read_text() == "mine"
    assert re.search(r"gold.db .*\.csv, \.parquet or \.xlsx", refusal(tmp_path / "gold.db"))
    assert re.search(r"no/x.csv cannot be written \(No such file",
                     refusal(tmp_path / "no" / "x.csv", expect=1))
    for suffix in ("csv", "parquet", "xlsx"):
        assert "nothing" in refusal(tmp_path / f"x.{suffix}", "--sql", "select nothing")
        assert "malformed JSON" in refusal(tmp_path / f"x.{suffix}", "--sql", late)
    assert list(tmp_path.iterdir()) == [kept]


# Nothing is changed

CHANGES = [
    "delete from sales_summary_daily", "update sales_summary_daily set orders = 0",
    "drop table sales_summary_daily", "insert into sales_summary_daily (order_date) values ('2020-01-01')",
    "with a as (select 1) delete from sales_summary_daily", "create table x (a)", "create temp table x (a)",
    "alter table sales_summary_daily rename to x", "reindex", "analyze", "vacuum",
    "create virtual table x using fts5(a)", "explain delete from sales_summary_daily",
]
OTHERS = [
    "vacuum into '{new}'", "attach '{new}' as x", "attach 'file:{new}?mode=rwc' as x",
    "pragma query_only = 0", "pragma journal_mode = delete", "pragma writable_schema = 1",
    "pragma user_version = 7", "commit", "rollback", "begin immediate", "savepoint a",
    "select load_extension('{new}')", "select writefile('{new}', 'x')",
    "select 1; delete from sales_summary_daily", "", "-- nothing", "select '", "selec 1", ".tables",
    "select 'a\0b'", "select zeroblob(2000000000)", "\ud800",
]


def test_whatever_is_typed_changes_nothing_and_is_answered_in_two_lines(ask, used: Shop, tmp_path: Path):
    before = [path.read_bytes() for path in sorted(used.warehouse.glob("*.db"))]
    folder = {path.name for path in used.warehouse.iterdir()}
    for sql in CHANGES + OTHERS:
        error = ask("gold", "--sql", sql.format(new=tmp_path / "new.db"), expect=2, warehouse=used.warehouse)
        assert error.startswith("error: ") and 1 <= error.count("\n") <= 2, (sql, error)
    assert [path.read_bytes() for path in sorted(used.warehouse.glob("*.db"))] == before
    assert {path.name for path in used.warehouse.iterdir()} - folder <= {"gold.db-shm", "gold.db-wal"}
    assert not (tmp_path / "new.db").exists()


def test_without_the_authorizer_the_file_itself_refuses(used: Shop):
    with open_database(used.warehouse, "gold") as database:
        database.connection.set_authorizer(None)
        assert database.connection.execute("pragma query_only").fetchone() == (1,)
        database.connection.execute("pragma query_only = 0")
        with pytest.raises(sqlite3.OperationalError, match="readonly database"):
            database.connection.execute("delete from sales_summary_daily")


def test_during_a_run_it_shows_the_last_published_state_at_once(ask, used: Shop):
    count = ("gold", "--sql", "select count(*) as n from sales_summary_daily", "--format", "csv")
    with closing(sqlite3.connect(used.warehouse / "gold.db", isolation_level=None)) as writer:
        writer.execute("begin immediate")
        writer.execute("delete from sales_summary_daily where order_date > '2025-11-10'")
        assert ask(*count, warehouse=used.warehouse) == "n\n60\n"
        writer.execute("commit")
        assert ask(*count, warehouse=used.warehouse) == "n\n10\n"


def test_one_answer_is_of_one_moment(used: Shop):
    with (open_database(used.warehouse, "gold") as database,
          closing(sqlite3.connect(used.warehouse / "gold.db")) as writer):
        with writer:
            writer.execute("delete from sales_summary_daily")
        assert list(select(database, "select count(*) from sales_summary_daily").rows) == [(60,)]


def test_a_folder_that_may_not_be_written_can_be_read(used: Shop):
    for left in used.warehouse.glob("*-*"):
        left.unlink()
    subprocess.run(["chmod", "-R", "a-w", used.warehouse], check=True)
    try:
        done = subprocess.run([*WITHOUT_ROOTS_POWERS, *used.command("query", "--format", "csv")],
                              capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "gold,sales_summary_daily,60" in done.stdout
    finally:
        subprocess.run(["chmod", "-R", "u+w", used.warehouse], check=True)


# Errors

WRONG = {
    "a database": (["golf"], "'golf' (did you mean gold?); there are raw, curated, gold, audit"),
    "a table": (["gold", "sales_sumary"],
                "gold.db has no table 'sales_sumary' (did you mean sales_summary_daily?)"),
    "another database's table": (["gold", "fact_orders"], "(it is in curated.db)"),
    "a table in a SELECT": (["gold", "--sql", "select * from Sales_Sumary"],
                            "(did you mean sales_summary_daily?)"),
    "a column": (["gold", "--sql", "select d.nett_sales from sales_summary_daily as d"],
                 "no column d.nett_sales (did you mean net_sales?)"),
    "another table's column": (["gold", "--sql", "select lifetime_value from sales_summary_daily"],
                               "there is no column lifetime_value\n"),
    "an option": (["gold", "--formt", "csv"], "(did you mean --format?)"),
    "a format": (["gold", "--format", "jsno"], "'jsno' (did you mean json?); known are table, csv, json, md"),
    "a limit": (["gold", "layer_commits", "--limit", "-1"], "'--limit': '-1'"),
    "table and SELECT": (["gold", "layer_commits", "--sql", "select 1"], "a table or --sql, not both"),
    "a SELECT of nowhere": (["--sql", "select 1"], "--sql needs the name of a database"),
    "two outputs": (["gold", "layer_commits", "--format", "csv", "--export", "x.csv"], "not both"),
    "a file of nothing": (["--export", "x.xlsx"], "--export needs the name of a database"),
    "CSV of a database": (["gold", "--export", "x.csv"], "x.csv cannot hold more than one table. Name an"),
    "Excel's JSON": (["gold", "--format", "json", "--excel"], "--excel goes with --format csv"),
    "Excel's workbook": (["gold", "--export", "x.xlsx", "--excel"], "--excel goes with --format csv"),
}


@pytest.mark.parametrize("arguments, said", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_what_was_meant(arguments: list[str], said: str, ask):
    error = ask(*arguments, expect=2)
    assert said in error and error.count("\n") <= 2


def test_a_warehouse_that_is_not_there_is_wrong_use_and_a_damaged_file_is_not(ask, used: Shop,
                                                                              tmp_path: Path):
    for arguments in ([], ["gold"], ["gold", "layer_commits"]):
        error = ask(*arguments, expect=2, warehouse=tmp_path / "none")
        assert re.search(rf"\w+\.db is missing in {tmp_path}/none\. .*--warehouse", error)
    assert not (tmp_path / "none").exists()
    (used.warehouse / "gold.db").write_bytes(b"no database" * 1000)
    assert "The file is damaged" in ask("gold", "layer_commits", expect=1, warehouse=used.warehouse)


def test_a_reader_that_has_gone_is_no_error(loaded: Shop):
    command = loaded.command("query", "gold", "reporting_sales_wide", "--format", "csv")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        assert asked.stdout.readline().startswith("order_line_id,")
        asked.stdout.close()
        assert (asked.wait(20), asked.stderr.read()) == (0, "")


def test_an_answer_imports_nothing_that_only_files_and_the_menu_need(loaded: Shop):
    command = loaded.command("query", "gold", "sales_summary_daily", "--format", "csv")
    done = subprocess.run([command[0], "-X", "importtime", *command[1:]], capture_output=True, text=True,
                          check=True)
    assert not re.search(r"\b(pandas|pyarrow|xlsxwriter|prompt_toolkit|rich|duckdb)\b", done.stderr)


# On a terminal

@pytest.fixture
def terminal(loaded: Shop, tmp_path: Path):
    """Start the tool on a pseudo-terminal of 30 rows and 100 columns."""
    started = []

    def start(*arguments: str) -> pexpect.spawn:
        environment = {**os.environ, "TERM": "xterm-256color", "PAGER": "less", "LESS": "-R",
                       "PROMPT_TOOLKIT_NO_CPR": "1"}
        command = loaded.command("query", *arguments)
        child = pexpect.spawn(command[0], command[1:], cwd=tmp_path, dimensions=(30, 100), timeout=20,
                              encoding="utf-8", env=environment)
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def ended(child: pexpect.spawn) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def until_it_computes(child: pexpect.spawn) -> None:
    """Wait until a database has been open for half a second of computing: then the SELECT is at work."""
    def reads(file: Path) -> bool:
        with suppress(FileNotFoundError):  # it was closed meanwhile
            return file.readlink().suffix == ".db"
        return False

    def computed() -> int:
        return int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[11])

    while not any(map(reads, Path(f"/proc/{child.pid}/fd").iterdir())):
        time.sleep(0.05)
    begun = computed()
    while computed() < begun + os.sysconf("SC_CLK_TCK") / 2:
        time.sleep(0.05)


def test_the_menu_leads_to_tables_rows_a_select_and_files(terminal, tmp_path: Path):
    child = terminal()
    child.expect("Nothing that you do here changes the databases")
    child.expect("leave")
    child.send("4\r")
    child.expect(r"reporting_sales_wide +3,064 rows")
    child.expect(r"(\d+)\. sales_summary_daily +60 rows")
    table = child.match[1]
    child.expect("4\\. balances")  # what people read comes first
    child.expect(r"(\d+)\. write a SELECT")
    typing = child.match[1]
    child.expect(r"(\d+)\. write all tables to an Excel file")
    workbook = child.match[1]
    child.expect("back")
    child.send(f"{table}\r")
    child.expect('select \\* from "sales_summary_daily" order by "order_date"')
    child.expect("back")
    child.send("1\r")
    child.expect("integer")
    child.expect("2025-11-01")
    child.expect("\n:")  # less waits: there are more rows than fit
    child.send("q")
    child.expect("back")
    child.send("5\r")
    child.expect("gold.db>")
    child.send("\x15select nett_sales from sales_summary_daily\r")
    child.expect(r"did you mean net_sales\?")
    child.expect("gold.db>")
    child.send("\x15select order_date, net_sales from sales_summary_daily order by order_date limit 2\r")
    child.expect("2025-11-02")
    child.expect("back")
    for key, file in (("2", "two.csv"), ("3", "two.parquet"), ("4", "two.xlsx")):
        child.send(f"{key}\r")
        child.expect("File: ")
        child.send(f"\x15{file}\r")
        child.expect(f"2 rows in {file}")
        child.expect("back")
    child.send("\x1b")
    child.expect("write all tables")
    child.expect("back")
    child.send(f"{workbook}\r")
    child.expect("File: ")
    child.send("\r")
    child.expect("3,556 rows of 3 tables in gold.xlsx")
    child.expect("back")
    child.send(f"{typing}\r")
    child.expect("gold.db>")
    child.send("select 1 + 1 as two\r")  # nothing stands there
    child.expect("show the rows")
    child.expect("back")
    child.send("\x1b")
    child.expect("write all tables")
    child.send("\x1b")
    child.expect("leave")
    child.send("\x1b")
    assert ended(child) == 0
    assert (tmp_path / "two.csv").read_text().splitlines()[0] == "order_date,net_sales"
    assert parquet.read_table(tmp_path / "two.parquet").num_rows == len(sheet(tmp_path / "two.xlsx")) == 2


def test_the_menu_asks_a_question_with_its_parameters(terminal):
    child = terminal()
    child.expect("leave")
    child.send("1\r")
    child.expect(r"(\d+)\. Net sales by category")
    number = int(child.match[1])
    child.expect("back")
    child.send("\x1b[B" * (number - 1) + "\r")  # a key for each line: only nine have a number that is one
    child.expect(r"month \(a month, such as 2025-12")
    child.send("2025-11\r")
    child.expect(r"first \(")
    child.send("\r")
    child.expect(r"last \(")
    child.send("\r")
    child.expect("Furniture")
    child.expect("change the SELECT")
    child.send("\x1b")
    child.expect("Questions")
    child.expect("back")
    child.send("\x1b")
    child.expect("leave")
    child.send("\x1b")
    assert ended(child) == 0


def test_ctrl_c_leaves_the_menu_and_stops_a_select(terminal):
    child = terminal()
    child.expect("leave")
    child.send("4\r")
    child.expect(r"(\d+)\. write a SELECT")
    typing = child.match[1]
    child.expect("back")
    child.send(f"{typing}\r")
    child.expect("gold.db>")
    child.send(f"\x15{ENDLESS}\r")
    child.expect(r"\x1b\[\?2004l")  # the line is accepted
    until_it_computes(child)
    child.sendintr()
    child.expect("stopped")
    child.expect("gold.db>")
    child.send("\x03")
    child.expect("back")
    child.send("\x03")
    assert ended(child) == 0


def test_a_select_that_runs_without_questions_is_stopped_by_ctrl_c(terminal):
    child = terminal("gold", "--sql", f"select 'begun' union all select * from ({ENDLESS})")
    until_it_computes(child)
    child.sendintr()
    child.expect("stopped")
    assert ended(child) == 130


def test_what_fits_the_screen_is_not_paged(terminal):
    child = terminal("gold", "--sql",
                     "select order_date from sales_summary_daily order by order_date limit 3")
    child.expect("2025-11-03")
    assert ended(child) == 0


# What the pages show

EXAMPLES = [line for page in PAGES.values() for block in blocks(page, "sh") for line in block.splitlines()
            if line.startswith("python run_pipeline.py query")]


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_of_the_pages_answers(line: str, loaded: Shop, tmp_path: Path):
    [folder] = (loaded.reports / "runs").iterdir()
    _, _, *words = shlex.split(re.sub(r"\d+T\d+\.\d+", folder.name, line.partition(" #")[0]))
    shown = subprocess.run(loaded.command(*words), cwd=tmp_path, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert len(shown.stdout.splitlines()) > 1 or list(tmp_path.iterdir())
