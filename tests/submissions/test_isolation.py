"""A model's own code reaches nothing while it is run, and what it leaves is looked at."""

import errno
import subprocess
import sys

import psutil
import pytest
from submission_scripts import ENTRIES, ROOT, executable, write


@pytest.mark.parametrize("left", ["a link", "a pipe", "too much"])
def test_what_a_rerun_leaves_is_looked_at_before_it_is_read(check, repository, tmp_path, left):
    """Code that was run may have put anything in the place of its verification."""
    write(repository, f"{ENTRIES}/mine/entry.toml")
    make = {
        "a link": "os.symlink('/dev/zero', path)",
        "a pipe": "os.mkfifo(path)",
        "too much": "os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 20_000_001)",
    }
    executable(
        tmp_path / "bin/lebench",
        f"import os, sys\npath = sys.argv[2] + '/verification.json'\nif sys.argv[1] == 'verify': {make[left]}",
    )
    code, result = check("--rerun", "1")
    assert (code, result["verdict"]) == (2, "failed")
    assert "the re-run has left" in result["lines"][0]
    assert not (tmp_path / "out/verification.json").exists()


@pytest.fixture
def isolated(tmp_path):
    """A function that runs Python code in what a plug-in is run in, which may write in one folder."""
    probe = [ROOT / ".ci/isolated", tmp_path / "own", "true"]
    (tmp_path / "own").mkdir()
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no command can be cut off from everything else here")

    def isolated(code):
        command = [*probe[:-1], sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    return isolated


def test_isolated_code_writes_nothing_that_is_run_later(isolated, tmp_path):
    (tmp_path / "later").write_text("as it was")
    said = isolated(
        "import os, tempfile\n"
        f"for path in ({str(tmp_path / 'later')!r}, {str(ROOT / '.ci/verify-entry')!r}, {str(tmp_path / 'new')!r}):\n"
        "    try: open(path, 'a').write('x')\n"
        "    except OSError as error: print(error.errno)\n"
        f"open({str(tmp_path / 'own/mine')!r}, 'w').write('x')\n"
        "tempfile.TemporaryFile().write(b'x')\n"
        "open(os.environ['HOME'] + '/x', 'w').write('x')\n"
    )
    assert said == [str(errno.EROFS)] * 3
    assert (tmp_path / "later").read_text() == "as it was"
    assert (tmp_path / "own/mine").read_text() == "x"


def test_isolated_code_sees_no_other_process_and_leaves_none(isolated, tmp_path):
    alive = tmp_path / "own/alive"
    processes, capabilities = isolated(
        "import os, subprocess, sys\n"
        f"code = \"open({str(alive)!r}, 'w').close()\\nwhile True: pass\"\n"
        "subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        f"while not os.path.exists({str(alive)!r}): pass\n"
        "print(len([name for name in os.listdir('/proc') if name.isdecimal()]))\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')][0])\n"
    )
    assert int(processes) <= 3
    assert int(capabilities, 16) == 0
    mine = [psutil.Process(pid).cmdline() for pid in psutil.pids() if psutil.pid_exists(pid)]
    assert not any(str(alive) in part for command in mine for part in command)


def test_a_plugin_is_given_only_to_a_rerun_without_network_and_environment(
    check, repository, tmp_path, monkeypatch, isolated
):
    write(repository, f"{ENTRIES}/mine/plugin.py")
    assert all("--plugin" not in line for line in check()[1]["lines"])
    executable(
        tmp_path / "bin/lebench",
        "import os, socket, sys\n"
        "if sys.argv[1] == 'validate': sys.exit()\n"
        "powerless = 'CapEff:\\t0000000000000000' in open('/proc/self/status').read()\n"
        "print(sys.argv[-2:], 'TOKEN' in os.environ, powerless)\n"
        "print(socket.if_nameindex())\n"
        "open(sys.argv[2] + '/verification.json', 'w').write('{}')\n",
    )
    monkeypatch.setenv("TOKEN", "secret")
    code, result = check("--rerun", "all", commit="HEAD~0")
    assert code == 0, result
    said, interfaces = result["lines"]
    assert "--plugin" in said
    assert said.endswith("plugin.py'] False True")
    assert interfaces == "[(1, 'lo')]"
