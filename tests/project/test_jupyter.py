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


def output_of(*command: str, **variables: str) -> str:
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True,
                          check=True).stdout.strip()


def lab() -> tuple[dict[str, str], list[str]]:
    """Return the variables and the words of the command that `make lab` ends with."""
    printed = output_of("make", "--no-print-directory", "--dry-run", "lab")
    words = shlex.split(printed.splitlines()[-1])
    variables = [word for word in words if "=" in word]
    return dict(word.split("=") for word in variables), words[len(variables):]


def test_a_kernel_in_the_users_home_does_not_replace_the_projects(tmp_path: Path):
    variables, _ = lab()
    kernel = tmp_path / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    another = {"argv": ["another-python"], "display_name": "Another", "language": "python"}
    kernel.write_text(json.dumps(another))
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        name = json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]["name"]
        code = COMMAND.format(name=name)
        python = output_of(sys.executable, "-c", code, JUPYTER_DATA_DIR=str(tmp_path), **variables)
        assert python == sys.executable, path.name


def test_jupyterlab_is_installed_and_listens_on_this_machine_only():
    _, [python, *words] = lab()
    assert (Path(python).name, words) == ("python", ["-m", "jupyterlab", "notebooks", "--ip", "127.0.0.1"])
    assert output_of(sys.executable, "-m", "jupyterlab", "--version")
