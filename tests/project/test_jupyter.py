"""`make lab` opens the notebooks with the project's packages, whatever else Jupyter finds on the machine."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from conftest import PROJECT

COMMAND = ("from jupyter_client.manager import KernelManager; "
           "print(KernelManager(kernel_name={name!r}).format_kernel_cmd()[0])")


def lab() -> tuple[dict[str, str], list[str]]:
    """Return the variables and the words of the command that `make lab` ends with."""
    printed = subprocess.run(["make", "--dry-run", "lab"], cwd=PROJECT, capture_output=True, text=True, check=True)
    words = shlex.split(printed.stdout.splitlines()[-1])
    variables = [word for word in words if "=" in word]
    return dict(word.split("=") for word in variables), words[len(variables):]


def test_a_kernel_in_the_users_home_does_not_replace_the_projects(tmp_path: Path):
    variables, _ = lab()
    kernel = tmp_path / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["another-python"], "display_name": "Another", "language": "python"}))
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        name = json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"]
        environment = {**os.environ, **variables, "JUPYTER_DATA_DIR": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", COMMAND.format(name=name)], capture_output=True, text=True,
                              check=True, env=environment)
        assert done.stdout.strip() == sys.executable, path.name


def test_jupyterlab_is_installed_and_listens_on_this_machine_only():
    _, [python, *words] = lab()
    assert (Path(python).name, words) == ("python", ["-m", "jupyterlab", "notebooks", "--ip", "127.0.0.1"])
    subprocess.run([sys.executable, "-m", "jupyterlab", "--version"], check=True, capture_output=True)
