"""The README's schedules and what an operator reads and types: each is what the command says or does."""

import ast
import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import copy_with_environment
from conftest import ORDERS, PROJECT, Shop
from documents import ALL_PAGES, blocks, shown
from warm_runs import WarmRuns

SERVICES = {block.partition("\n")[0].removeprefix("# "): block for block in blocks(ALL_PAGES, "ini")}
[CRON] = [line for block in blocks(ALL_PAGES, "crontab") for line in block.splitlines()]
[DAG] = [block for block in blocks(ALL_PAGES, "python") if "airflow" in block]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """The project as on a server, with an environment that has the packages of this one."""
    folder = tmp_path / "srv" / "shop"
    copy_with_environment(PROJECT, folder)
    deliveries = tmp_path / "srv" / "deliveries"
    deliveries.mkdir()
    (deliveries / "orders.csv").write_text(f"{ORDERS}\nO1,C1,2026-01-05,web,1.00,placed\n")
    return tmp_path


def test_the_line_for_cron_fills_gold_and_says_nothing_but_warnings(server: Path):
    times, command = CRON.split("  ", 1)
    assert re.fullmatch(r"\d+ \d+ \* \* \*", times)
    here = command.replace("/srv/", f"{server}/srv/")
    environment = {"HOME": str(server), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(here, shell=True, cwd="/", env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    warnings = done.stderr.splitlines()
    assert all(line.startswith("warning: ") for line in warnings), done.stderr
    assert any("orphans: 1 row" in line for line in warnings)  # there is no customer C1
    assert (server / "srv" / "shop" / "data" / "warehouse" / "gold.db").exists()


def test_every_schedule_runs_the_command_that_cron_runs(server: Path):
    command = CRON.split("  ", 1)[1].removeprefix("cd /srv/shop && ").removesuffix(" --quiet")
    units = {name: configparser.ConfigParser() for name in SERVICES}
    for name, unit in units.items():
        unit.read_string(SERVICES[name])
    assert units["shop.service"]["Service"]["ExecStart"] == f"/srv/shop/{command}"
    watch = command.replace("run_pipeline.py", "run_pipeline.py watch")
    assert units["shop-watch.service"]["Service"]["ExecStart"] == f"/srv/shop/{watch}"
    assert f'return "cd /srv/shop && {command}"' in DAG
    ast.parse(DAG)


def test_systemd_finds_nothing_wrong_with_the_units(server: Path):
    if not shutil.which("systemd-analyze"):
        return  # the test above has read them
    for name, unit in SERVICES.items():
        (server / name).write_text(unit.replace("/srv/", f"{server}/srv/").replace("User=shop\n", ""))
    done = subprocess.run(["systemd-analyze", "verify", *(str(server / name) for name in SERVICES)],
                          capture_output=True, text=True)
    ours = [line for line in done.stderr.splitlines() if "shop" in line]
    assert ours == [], done.stderr


def without_what_varies(text: str, shop: Shop) -> str:
    text = text.replace(str(shop.source), "…/source").replace(str(shop.warehouse), "…/warehouse")
    text = re.sub(r"\d{8}T\d{6}\.\d{6}", "BATCH",
                  re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "TIME", text))
    return re.sub(r" +[\d.]+ s\b", " # s", re.sub(r"\d+ (minutes|hours) ago", "# ago", text)).strip()


def test_the_plan_in_the_readme_is_that_of_the_second_day(used: Shop):
    subprocess.run([sys.executable, PROJECT / "data" / "generate.py", used.source, "--day", "2"], check=True,
                   capture_output=True)
    expected = "\n".join(shown("python run_pipeline.py plan"))
    assert without_what_varies(used.run("plan").stdout, used) == expected


def test_the_status_in_the_readme_is_that_of_the_first_run(loaded: Shop):
    expected = without_what_varies("\n".join(shown("python run_pipeline.py status")), loaded)
    assert without_what_varies(loaded.run("status", expect=4).stdout, loaded) == expected


def test_the_hook_of_the_operators_page_mails_a_short_text(tmp_path: Path):
    lines = "\n".join(blocks(ALL_PAGES, "sh")).splitlines()
    [line] = [line for line in lines if "--on-failure" in line]
    mail = tmp_path / "bin" / "mail"
    mail.parent.mkdir()
    mail.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments; cat > {tmp_path}/body\n')
    mail.chmod(0o755)
    words = shlex.split(line)
    assert words[:2] == ["python", "run_pipeline.py"]
    done = Shop(tmp_path).run(*words[2:], expect=2,
                              env={**os.environ, "PATH": f"{mail.parent}:{os.environ['PATH']}"})
    assert (tmp_path / "arguments").read_text() == "-s The shop is not in gold operator@example.org\n"
    body = (tmp_path / "body").read_text()
    assert body == done.stderr.removeprefix("error: ")


def test_what_the_readme_backs_up_can_be_restored(used: Shop, tmp_path: Path, warm: WarmRuns):
    [command] = [block for block in blocks(ALL_PAGES, "sh") if block.startswith("flock ")]
    backup = tmp_path / "backup"
    backup.mkdir()
    before = used.state()
    here = command.replace("data/warehouse", str(used.warehouse)).replace("/backup", str(backup))
    subprocess.run(["sh", "-ec", here], check=True)
    shutil.rmtree(used.warehouse)
    backup.rename(used.warehouse)
    assert used.state() == before
    assert warm.run(used).stdout.count("nothing new") == 5
