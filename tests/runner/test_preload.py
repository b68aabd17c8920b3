"""The warm process imports what every notebook needs, and postpones what is seldom used to its first use."""

import subprocess
import sys

from conftest import PROJECT

CHECKS = """
import sys
import lib.runner.preload
assert {"great_expectations", "duckdb", "lib.step.open", "lib.step.parse"} <= sys.modules.keys()
assert "lib.report.charts" in sys.modules
assert hasattr(sys.modules["scipy.stats"], "__file__") and not hasattr(sys.modules["altair"], "__wrapped__")
assert "scipy.stats._stats_py" not in sys.modules and "altair.vegalite" not in sys.modules
import ipykernel.debugger
assert not ipykernel.debugger._is_debugpy_available
from scipy import stats
assert stats.norm.cdf(0) == 0.5
import altair.vegalite, altair
assert altair.Chart
"""


def test_what_notebooks_need_is_imported_and_a_postponed_module_only_by_its_first_use():
    subprocess.run([sys.executable, "-c", CHECKS], cwd=PROJECT, check=True)
