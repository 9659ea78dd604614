"""What the pages say is so: numbers are those of the records and of the code, commands exist."""

import ast
import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

from lebench import registry
from lebench.cli.app import app
from lebench.models.spec import parse_spec
from lebench.runner import tolerance

ROOT = Path(__file__).parents[1]


def test_the_concepts_quote_no_result():
    """A number with decimals there would be a result that was typed, but for a learning rate in a command."""
    text = (ROOT / "docs/concepts.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 1500
    prose = re.sub(r"```.*?```|\$[^$]*\$|`[^`]*`", "", text, flags=re.DOTALL)
    assert re.findall(r"\d\.\d+|\+-|±", prose) == []


def test_results_hold_no_digit_that_the_records_did_not_give():
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    prose = re.sub(r"\{\{.*?\}\}|\(\S+\.md\S*\)|95% interval", "", text, flags=re.DOTALL)
    assert re.findall(r".*\d.*", prose) == []
    assert text.count("{{") > 20


def test_notes_on_claims_hold_no_digit_that_the_records_did_not_give():
    """Functions of the papers' pages that return a sentence; digits within names are part of the names."""
    typed, looked_at = [], 0
    for path in (ROOT / "lebench/site/papers").glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(function, ast.FunctionDef)
                and path.name != "base.py"
                and ast.unparse(function.returns) == "str"
            ):
                looked_at += 1
                texts = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant)]
                typed += [
                    (path.name, t)
                    for t in texts
                    if isinstance(t, str) and " " in t and re.search(r"(?<![\w=@.-])\d", t)
                ]
    assert looked_at > 5
    assert typed == []


def commands():
    """Return the calls of lebench that stand in console blocks, each with its page."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            found += [(page.name, line) for line in re.findall(r"^\$ (?:\S*/)?lebench (.+)$", block, re.MULTILINE)]
    return found


def test_commands_of_the_pages_are_known():
    """Their options exist, and so do the models and tasks that they name, unless a plug-in brings them."""
    assert len(commands()) > 30
    for page, line in commands():
        words = shlex.split(line, comments=True)
        command = app
        while isinstance(command, click.Group) and not words[0].startswith("-"):
            command = command.get_command(click.Context(command), words.pop(0))
            assert command is not None, (page, line)
        if isinstance(command, click.Group):
            continue
        parser = command.make_parser(click.Context(command))
        try:
            options, _, _ = parser.parse_args(words)
        except click.UsageError as error:
            pytest.fail(f"{page}: {line}: {error.message}")
        if "plugin" in options or "plugins" in options:
            continue
        for kind in (registry.models, registry.tasks):
            names = options.get(f"{kind.kind}s")
            for chosen in names if isinstance(names, list) else []:
                assert kind.select([parse_spec(chosen)[0] if "[" in chosen else chosen]), (page, line)


def test_tolerances_of_the_page_are_those_of_the_code():
    table = re.findall(
        r"^\| (\w[\w ]*) \| [^|]* \| ([^|]*) \|", (ROOT / "docs/trust.md").read_text("utf-8"), re.MULTILINE
    )
    said = dict(table)
    assert tolerance._ALLOWED["classes"] == tolerance._ALLOWED["recording"]
    assert said["classes"] == "as above; accuracy and error exactly"
    for rule, (relative, absolute) in tolerance._ALLOWED.items():
        if rule == "classes":
            continue
        for number in (relative, absolute) if rule != "seeds" else (relative,):
            power = str(round(np.log10(number))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
            assert f"10{power}" in said[rule], rule
    assert "three standard deviations" in said["seeds"]
    assert tolerance.SPREADS == 3
