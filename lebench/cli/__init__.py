"""The command line: each command calls one function of the API and prints what it returns."""

from __future__ import annotations

import errno
import sys
import warnings
from typing import Any

from lebench.errors import LebenchError, LebenchWarning

#: What a shell reports for a program that SIGHUP has ended.
_HANGUP = 129


def main() -> None:
    """Run ``lebench``; an error of the user's is one line on stderr and exit code 2."""
    import click

    from lebench.cli.app import app
    from lebench.cli.terminal import use_plain_text_where_needed

    use_plain_text_where_needed()
    with warnings.catch_warnings():
        # Warnings of libraries are for engineers, who run Python with -W.
        warnings.simplefilter("default" if sys.warnoptions else "ignore")
        warnings.simplefilter("always", LebenchWarning)
        warnings.showwarning = _one_line
        try:
            code = app(standalone_mode=False)
        except LebenchError as error:
            _fail(str(error))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            sys.exit(2)
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "lebench"
            _fail(f"{' '.join(error.format_message().split()).rstrip('.')}; see '{command} --help'")
        except click.Abort:
            _fail("interrupted", 130)
        except BrokenPipeError:
            # The reader of a pipe (head, less) has left: nothing is wrong.
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # The terminal was closed: there is nobody to tell.
            sys.stderr.close()
            sys.exit(_HANGUP)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int = 2) -> None:
    print(f"lebench: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _one_line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    name = "" if issubclass(category, LebenchWarning) else f"{category.__name__}: "
    print(f"lebench: warning: {name}{message}", file=sys.stderr)  # noqa: T201
