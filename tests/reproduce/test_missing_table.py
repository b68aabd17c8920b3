"""A replay that lacks a table is not called the same."""

import sqlite3
from contextlib import closing
from pathlib import Path

import in_process
from conftest import Shop

from lib.reproduce.replay import replay
from lib.steps import Options


def test_a_replay_that_lacks_a_table_is_not_called_the_same(small: Shop, tmp_path: Path, monkeypatch):
    [(batch_id,)] = small.query("audit", "select batch_id from pipeline_manifest")
    again, execute, lines = tmp_path / "again", in_process.execute, []

    def lose_a_table(spec, folder, parameters, kernel):
        record = execute(spec, folder, parameters, kernel)
        if spec.name == "gold":
            with closing(sqlite3.connect(again / "warehouse" / "gold.db")) as gold, gold:
                gold.execute("drop table sales_summary_daily")
                gold.execute("delete from layer_commits where table_name = 'sales_summary_daily'")
        return record

    monkeypatch.setattr("lib.runner.notebooks.execute", lose_a_table)
    options = Options(small.source, small.warehouse, small.reports)
    assert not replay(options, batch_id, again, lines.append)
    assert any("differs" in line and "gold.sales_summary_daily" in line for line in lines)
    assert not lines[-1].startswith("all ")
