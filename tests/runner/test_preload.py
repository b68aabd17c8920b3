"""The warm process postpones imports that are seldom used, and the first use makes up for it."""

import subprocess
import sys

from conftest import PROJECT

CHECKS = """
import sys
import lib.runner.preload
assert "great_expectations" in sys.modules
assert hasattr(sys.modules["scipy.stats"], "__file__") and not hasattr(sys.modules["altair"], "__wrapped__")
assert "scipy.stats._stats_py" not in sys.modules and "altair.vegalite" not in sys.modules
from scipy import stats
assert stats.norm.cdf(0) == 0.5
import altair.vegalite, altair
assert altair.Chart
"""


def test_a_postponed_module_is_loaded_by_its_first_use_and_not_when_it_is_inspected():
    subprocess.run([sys.executable, "-c", CHECKS], cwd=PROJECT, check=True)
