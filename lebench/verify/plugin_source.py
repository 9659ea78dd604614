"""A model's own code as text, neither run nor compiled: does a reader see what would run, and where to look first."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from lebench.verify.texts import is_hidden
from lebench.verify.violations import Violation

_LONGEST_LINE = 120
#: PEP 263: a comment in one of the first two lines that names another encoding.
_COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*[-_.a-zA-Z0-9]+", re.ASCII)
_LONGEST_LITERAL = 400
_MOST_LISTED = 60

#: Calls that a reader should look at, by their last name.
_CALLS = {
    **dict.fromkeys(("exec", "eval", "compile", "__import__", "import_module", "execfile"), "runs text as code"),
    **dict.fromkeys(("getattr", "setattr", "delattr", "globals", "locals", "vars"), "reaches names by text"),
    **dict.fromkeys(("system", "popen", "Popen", "fork", "forkpty", "posix_spawn", "kill"), "starts or ends processes"),
    **dict.fromkeys(
        ("execv", "execve", "execvp", "spawnv", "spawnl", "check_output", "check_call"), "starts processes"
    ),
    **dict.fromkeys(("write", "write_text", "write_bytes", "unlink", "rename", "replace", "rmtree"), "writes files"),
    **dict.fromkeys(("mkdir", "makedirs", "remove", "symlink", "link", "chmod", "truncate"), "writes files"),
    **dict.fromkeys(("load", "loads", "unpickle", "read_pickle"), "may unpickle"),
    **dict.fromkeys(("b64decode", "a85decode", "b85decode", "unhexlify", "fromhex", "decompress"), "decodes text"),
}
_MODULES = {
    **dict.fromkeys(("ctypes", "cffi", "mmap", "_ctypes"), "reaches memory"),
    **dict.fromkeys(("subprocess", "multiprocessing", "os", "pty", "signal"), "reaches processes and the environment"),
    **dict.fromkeys(
        ("socket", "ssl", "http", "urllib", "requests", "ftplib", "smtplib", "asyncio"), "reaches the network"
    ),
    **dict.fromkeys(("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"), "unpickles"),
    **dict.fromkeys(("base64", "binascii", "codecs", "zlib", "bz2", "lzma", "gzip"), "decodes text"),
    **dict.fromkeys(("importlib", "builtins", "inspect", "gc", "sys", "types", "imp"), "reaches the interpreter"),
}
_ATTRIBUTES = {
    **dict.fromkeys(("environ", "getenv"), "reads the environment"),
    "__globals__": "reaches names",
    "__subclasses__": "reaches classes",
    "__builtins__": "reaches the interpreter",
    "f_back": "reaches callers",
}


def check_source(name: str, content: bytes) -> Iterator[Violation]:
    """Yield why a file of code is not what a reader of the page sees.

    Parameters
    ----------
    name : str
        Of the file, inside the entry.
    content : bytes
        What would be decoded as UTF-8 and compiled.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        yield Violation(name, f"byte {error.start + 1}", "is not UTF-8; save the file as UTF-8")
        return
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        hidden = [c for c in line if c != "\t" and is_hidden(c)]
        if hidden:
            yield Violation(name, f"line {number}", f"has a character that cannot be seen, {hidden[0]!a}; remove it")
        if len(line) > _LONGEST_LINE:
            yield Violation(name, f"line {number}", f"has {len(line):,} characters, at most {_LONGEST_LINE}; break it")
        if number <= 2 and _COOKIE.match(line):
            yield Violation(name, f"line {number}", "names an encoding; remove that comment, the file is UTF-8")
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and not token.string.isascii():
                place = f"line {token.start[0]}"
                yield Violation(name, place, f"has the name {token.string!a}; names in code are of ASCII letters")
        for node in ast.walk(ast.parse(text)):
            # Older tokenizers do not look into the expressions of a formatted text.
            named = [getattr(node, field, None) for field in ("id", "attr", "arg", "name")]
            if odd := [each for each in named if isinstance(each, str) and not each.isascii()]:
                place = f"line {getattr(node, 'lineno', 1)}"
                yield Violation(name, place, f"has the name {odd[0]!a}; names in code are of ASCII letters")
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError) as error:
        where = getattr(error, "lineno", None)
        yield Violation(name, f"line {where or 1}", f"is not Python: {getattr(error, 'msg', None) or error}")


def listing(name: str, text: str) -> list[str]:
    """Return what a reviewer looks at first: imports, and what reaches out of a model; a line each.

    Parameters
    ----------
    name : str
        Of the file, inside the entry.
    text : str
        Code that :func:`check_source` has nothing against.
    """
    found: set[tuple[int, str]] = set()
    for node in ast.walk(ast.parse(text)):
        found.update((node.lineno, said) for said in _noticed(node))  # type: ignore[attr-defined]
    lines = [f"{name}:{number}: {said}" for number, said in sorted(found)]
    if len(lines) > _MOST_LISTED:
        lines = [*lines[:_MOST_LISTED], f"{name}: {len(lines) - _MOST_LISTED} more such places; read the whole file"]
    return lines


def _noticed(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or "."]
        for module in names:
            said = _MODULES.get(module.split(".")[0])
            yield f"imports {module}" + (f": {said}" if said else "")
    elif isinstance(node, ast.Call):
        called = _last_name(node.func)
        if called == "open":
            modes = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
            reads = not modes or all(isinstance(m, ast.Constant) and not set("wax+") & set(str(m.value)) for m in modes)
            yield "calls open: reads files" if reads else "calls open: writes files"
        elif said := _CALLS.get(called):
            yield f"calls {called}: {said}"
    elif isinstance(node, ast.Attribute | ast.Name) and (said := _ATTRIBUTES.get(_last_name(node))):
        yield f"names {_last_name(node)}: {said}"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and len(node.value) > _LONGEST_LITERAL:
        yield f"holds a literal of {len(node.value):,} characters"


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
