"""The command line: each command calls one function of the API and prints what it returns."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from lebench.errors import LebenchError


def main() -> None:
    """Run ``lebench``; an error of the user's is one line on stderr and exit code 2."""
    import click

    from lebench.cli.app import app

    warnings.showwarning = _one_line
    try:
        code = app(standalone_mode=False)
    except LebenchError as error:
        _fail(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())  # noqa: T201
        sys.exit(2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see '{context.command_path} --help'" if context is not None else ""
        _fail(error.format_message().rstrip(".") + hint)
    except click.exceptions.Abort:
        _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has left: nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int = 2) -> None:
    print(f"lebench: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    # Warnings meant for users are lebench's own; those of libraries are for engineers, who run Python with -W.
    if category.__module__.startswith("lebench"):
        print(f"lebench: warning: {message}", file=sys.stderr)  # noqa: T201
