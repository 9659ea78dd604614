"""The scripts of continuous integration that look at a submission, for tests of them."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENTRIES = "leaderboard/entries"


def script(name):
    """Return a script of continuous integration as a module."""
    loader = importlib.machinery.SourceFileLoader(f"ci_{name}", str(ROOT / ".ci" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


def executable(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


def write(repository, path, text="mine"):
    path = repository.folder / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
