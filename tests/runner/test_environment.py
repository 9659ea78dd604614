"""What a record says of where it was made."""

import subprocess
import sys
from importlib.metadata import version

import numpy as np

from lebench import plugins
from lebench.runner.environment import cores, environment, source
from lebench.runner.results import Origin


def test_environment_names_what_is_installed():
    described = environment()
    assert described.packages["numpy"] == np.__version__
    assert described.python == ".".join(str(part) for part in sys.version_info[:3])
    assert described.threads == 1
    assert described.cpu
    assert cores() >= 1


def test_source_is_the_commit_of_the_checkout():
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    assert source().commit == (head or None)


def test_describing_imports_no_framework():
    code = (
        "import sys; from lebench.runner.environment import environment; environment(); "
        "from lebench.runner import plan, store, execution; "
        "print(sorted({'torch', 'jax', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_packages_that_a_plugin_imports_are_part_of_the_environment(tmp_path):
    (tmp_path / "mine.py").write_text("import os\nimport helper\n\ndef fit():\n    from pandas import DataFrame\n")
    (tmp_path / "helper.py").write_text("import click.core\nimport lebench, nowhere\n")
    found = plugins.find(tmp_path / "mine.py")
    assert found.packages() == {"pandas", "click", "lebench", "nowhere"}
    recorded = Origin.here("", [found]).environment.packages
    assert recorded == {**environment().packages, "pandas": version("pandas"), "click": version("click")}
