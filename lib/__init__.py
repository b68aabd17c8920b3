"""The pipeline. The files in this folder are the words that every part uses: the contract, the errors, the
clock and the steps. Each subfolder is one stage of the work. Its `__init__` says what belongs in it and what
does not.
"""

import sys

# Where JupyterLab is installed, jsonschema imports it for a check that nothing here uses. It takes a second.
sys.modules.setdefault("rfc3987_syntax", None)
