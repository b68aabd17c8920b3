"""The questions in `questions`: each is one file, and is asked in the same way wherever it is asked."""

import json
import re
from pathlib import Path

import pytest
from conftest import Shop

from lib.cli.main import main
from lib.cli.query import command
from lib.declarations import DeclarationError
from lib.errors import UsageError
from lib.explore import questions as module
from lib.explore.questions import question_named, questions
from lib.explore.readonly import open_database, select
from lib.report.meanings import read_meanings


@pytest.mark.parametrize("name", questions())
def test_every_question_has_an_answer_and_a_meaning_for_each_of_its_columns(name: str, loaded: Shop):
    question, meanings = questions()[name], read_meanings()
    with open_database(loaded.warehouse, question.database) as database:
        asked = question.selection({"order_id": "0000001"} if "order_id" in question.parameters else {})
        answer = select(database, asked.sql, asked.parameters)
        rows = list(answer.rows)
        assert rows or name in ("open_quarantine", "orphans", "last_failures", "unreadable_lines")
    defined = {column for tables in meanings.values() for columns in tables.values() for column in columns}
    assert set(answer.columns) <= defined | question.columns.keys()
    assert question.columns.keys() <= set(answer.columns)
    assert set(re.findall(r":(\w+)", question.sql)) == question.parameters.keys()
    assert question.parameters.keys().isdisjoint(parameter.name for parameter in command.params)
    assert question.about.endswith(".") and not question.title.endswith(".")


def test_a_question_is_asked_with_its_parameters_as_options(loaded: Shop, capsys):
    asked = ["query", "--warehouse", str(loaded.warehouse), "--ask", "sales_by_category", "--format", "json"]
    assert main([*asked, "--month", "2025-11"]) == 0
    november = json.loads(capsys.readouterr().out)
    assert main([*asked, "--first", "2025-11-01", "--last", "2025-11-30"]) == 0
    assert json.loads(capsys.readouterr().out) == november
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out) != november
    [total] = loaded.query("gold", "select round(sum(net_sales), 2) from sales_summary_daily "
                                   "where order_date like '2025-11%'")
    assert round(sum(row["net_sales"] for row in november), 2) == total[0]


def test_the_questions_are_listed_with_their_parameters(capsys):
    assert main(["query", "--ask", "--format", "json"]) == 0
    listed = {row["question"]: row["parameters"] for row in json.loads(capsys.readouterr().out)}
    assert listed == {question.name: ", ".join(question.parameters) for question in questions().values()}


def test_the_help_of_a_question_names_its_parameters(capsys):
    assert main(["query", "--ask", "sales_by_day", "--help"]) == 0
    assert re.search(r"--first VALUE +the first day\. Without one, 90 days", capsys.readouterr().out)


@pytest.mark.parametrize(("words", "message"), [
    (["--ask", "sales_by_categry"], "no question 'sales_by_categry' (did you mean sales_by_category?)"),
    (["--ask", "sales_by_category", "--mont", "2025-12"], "unknown option '--mont' (did you mean --month?)"),
    (["--ask", "sales_by_category", "--month", "2025-13"], "Write a month such as 2025-12."),
    (["--ask", "sales_by_day", "--last", "2025-1-1"], "Write a day such as 2025-12-30."),
    (["--ask", "key_figures", "--periods", "7]"], "Write days such as 1,7,28."),
    (["gold", "--ask", "sales_by_day"], "a question knows its database"),
    (["--month", "2025-12"], "unknown option '--month'"),
])
def test_a_wrong_question_is_one_line_that_says_what_is_wrong(
        words: list[str], message: str, loaded: Shop, capsys):
    assert main(["query", "--warehouse", str(loaded.warehouse), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("text", "message"), [
    ("-- title: A\n-- abut: B\n", r"questions/a\.sql, line 2: there is no property 'abut' \(did you mean"),
    ("-- title: A\n", r"questions/a\.sql, line 1: the property 'about' is missing"),
    ("-- title: A\n-- about: [\n", r"questions/a\.sql, line 3: this is no YAML"),
])
def test_a_wrong_comment_of_a_question_is_named_with_its_line(
        text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "questions").mkdir()
    (tmp_path / "questions" / "a.sql").write_text(f"{text}select 1\n")
    monkeypatch.setattr(module, "QUESTIONS", tmp_path / "questions")
    with pytest.raises(DeclarationError, match=message):
        questions.__wrapped__()


def test_a_parameter_that_a_question_lacks_is_refused():
    with pytest.raises(UsageError, match="no parameter 'month'; it has first, last"):
        question_named("sales_by_day").selection({"month": "2025-12"})
