"""Platforms that lebench does not run on say so in one line."""

import subprocess
import sys


def test_windows_is_told_where_lebench_runs():
    code = (
        "import sys; import lebench.cli.app; sys.platform = 'win32'; sys.argv = ['lebench', 'run', '--model', 'knn'];"
        "from lebench.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "lebench: it does not run on Windows itself: use it in the Windows Subsystem for Linux (WSL)\n"
    )
