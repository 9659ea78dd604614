"""Coverage-guided fuzzing of what reads a submission: ``make fuzz`` (Linux; needs the extra ``fuzz``).

Each input is a list of choices: which reader is tried, which part of something valid is changed for it, and how. A
change of a record is sealed again, as a forger would, so that it gets past the checksums. Readers are tried one by one,
which is fast, and all together on an entry in a folder in memory. An input is a crash if any of this ends in an
exception, if a message is not one printable line, if a file is read or written outside of where that belongs, if a
process is started, or if it costs too much time or memory.
"""

from __future__ import annotations

import io
import os
import random
import runpy
import shutil
import sys
import sysconfig
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# What is imported here is not traced: numpy and its like would take minutes.
import atheris
import numpy
import pandas  # noqa: F401
import pydantic
import scipy.stats  # noqa: F401
import sklearn.model_selection  # noqa: F401
from choices import LOOSE, Choices

# Tasks, datasets and models are imported when they are used, so they are not traced either.
with atheris.instrument_imports(include=["lebench"]):
    from lebench import artifacts
    from lebench.board import documents, entries, notes, verification
    from lebench.errors import LebenchError
    from lebench.records import Artifact
    from lebench.runner import recording_format
    from lebench.sandbox import wire
    from lebench.verify import forensics, make_verification, plugin_source, submission, validation
    from lebench.verify.rerun import draw

from hostile import build
from start import NAME, ROOT, Start, dumped, sealed, written
from watching import Watch

#: What readers are given to begin with.
CODE = (ROOT / "docs/assets/examples/nearest_mean.py").read_bytes()
NOTE = {"date": "2026-12-01", "entry": "mlp", "kind": "renamed", "reason": "why", "to": "net", "link": "https://a.org"}
MESSAGE = wire.Message("answer", {"a": [1, "b"]}, {"x": numpy.ones((2, 3)), "y": numpy.arange(4)})
RESULT = {"schema": 1, "entry": "x", "verdict": "accepted", "rerun": "", "lines": ["all is well", "`"]}
COMMENT = runpy.run_path(str(ROOT / ".ci/comment"), run_name="comment")
#: Memory of the whole process.
LARGEST_MB = 2048


class Fuzzer:
    """Reads what inputs choose, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.main, self.folder, self.secret = folder / "main", folder / "in" / NAME, folder / "secret"
        self.secret.write_text("secret")
        self.start = Start()
        self.start.write(self.main / NAME)
        shutil.copytree(self.main / NAME, self.main / "other")
        theirs = self.main / "other" / "entry.toml"
        theirs.write_text(theirs.read_text().replace(f'name = "{NAME}"', 'name = "other"'))
        libraries = {*sysconfig.get_paths().values(), *(path for path in sys.path if "site-packages" in path)}
        allowed = (self.folder, self.main, tempfile.gettempdir(), ROOT / "lebench", *libraries)
        self.watch = Watch(tuple(f"{path}/" for path in allowed))
        # What is loaded once is loaded now.
        shutil.copytree(self.main / NAME, self.folder)
        for line in self.of_entry():
            assert line.isprintable()

    def one_input(self, content: bytes) -> None:
        """Read what an input says, and look at what that did."""
        choices = Choices(content)
        once = (self.text, self.arrays, self.checks, self.code, self.notes, self.message, self.result)
        reader = choices.one_of((*once, self.record, self.record, self.entry, self.entry))
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        read = reader(choices)
        with self.watch.watching(self.folder):
            for line in read():
                assert line.isprintable(), f"not a printable line: {line!r}"
        if validation._configured.cache_info().currsize > 200:
            validation._configured.cache_clear()

    def text(self, choices: Choices) -> Callable[[], Iterator[str]]:
        """Read a text as a document."""
        parse: Callable[[str], Any] = choices.one_of((documents.parse_json, documents.parse_toml, documents.printable))
        text = "".join(choices.text() for _ in range(choices.below(8)))[:20_000]
        return lambda: said(documents.DocumentError, lambda: parse(text))

    def record(self, choices: Choices) -> Callable[[], Iterator[str]]:
        """Read a line of records, and what it says against the invariants."""
        document = choices.document(choices.one_of(self.start.records))
        if choices.below(10):
            document = sealed(document)
        files = written({}, [document])
        (self.folder / "environments.json").write_bytes(files["environments.json"])
        line = files["records.jsonl"].decode(*LOOSE)[:-1]

        def read() -> Iterator[str]:
            shared = entries._read_shared(self.folder / "environments.json")
            record, _ = entries._read_record(line, shared, self.folder / "records.jsonl", "line 1")
            for field, rule in validation._of_record(record):
                yield f"{field}: {rule}"

        return lambda: said(LebenchError, read)

    def arrays(self, choices: Choices) -> Callable[[], Iterator[str]]:
        """Unpack arrays, and read them as a recording."""
        key = choices.one_of(sorted(self.start.arrays))
        packed, described = choices.archive(self.start.arrays[key])
        claimed = described or self.start.records[key[0]]["artifacts"]

        def read() -> None:
            try:
                found = {name: Artifact.model_validate(each) for name, each in claimed.items()}
            except pydantic.ValidationError:
                return
            arrays = artifacts.unpack(packed, found)
            numbers = recording_format.parts(arrays)
            forensics._near(forensics._telling(numbers), numbers)
            recording_format.read(arrays)

        return lambda: said(LebenchError, read)

    def checks(self, choices: Choices) -> Callable[[], Iterator[str]]:
        """Read what is on record of earlier checks."""
        text = dumped(choices.document(self.start.verified)).encode(*LOOSE)
        content = text if choices.below(2) else choices.bytes_(self.start.verification)
        (self.folder / verification.NAME).write_bytes(content)
        return lambda: said(LebenchError, lambda: verification.read_verification(self.folder))

    def code(self, choices: Choices) -> Callable[[], Iterator[str]]:
        """Read a model's own code as text."""
        content = choices.bytes_(CODE) if choices.below(2) else choices.text().encode(*LOOSE)

        def read() -> Iterator[str]:
            found = [str(violation) for violation in plugin_source.check_source("plugin.py", content)]
            yield from found or plugin_source.listing("plugin.py", content.decode())

        return read

    def notes(self, choices: Choices) -> Callable[[], Iterator[str]]:
        """Read what happened to entries."""
        lines = "\n".join(dumped(choices.document(NOTE)) for _ in range(choices.below(4)))
        (self.folder / notes.NAME).write_bytes(lines.encode(*LOOSE))
        return lambda: said(LebenchError, lambda: notes.read_notes(self.folder / "entries"))

    def message(self, choices: Choices) -> Callable[[], Iterator[str]]:
        """Receive what a guest of the sandbox sends."""
        content = choices.bytes_(b"".join(map(bytes, wire.encode(MESSAGE))))
        return lambda: said((LebenchError, EOFError), lambda: wire.receive(io.BytesIO(content), 10_000))

    def result(self, choices: Choices) -> Callable[[], Iterator[str]]:
        """Read the result of a check as the comment does, which anybody may have written."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("result.json", dumped(choices.document(RESULT)).encode(*LOOSE))
        content = choices.bytes_(file.getvalue()) if choices.below(3) else file.getvalue()

        def read() -> None:
            found = COMMENT["read_result"](content)
            COMMENT["text"](["leaderboard/entries/x/entry.toml"], found, "0" * 40)

        return lambda: said(ValueError, read)

    def entry(self, choices: Choices) -> Callable[[], Iterator[str]]:
        """Read an entry as a whole."""
        build(self.start, choices, self.folder, self.secret)
        return self.of_entry

    def of_entry(self) -> Iterator[str]:
        """Yield everything that reading an entry says. Its scores are computed in processes of their own: not here."""
        for main in (None, submission.Base("main", self.main, None, "leaderboard/entries")):
            for violation in validation.validate(self.folder, main):
                yield str(violation)
        # The board reads what has been validated, but must not break on anything else.
        try:
            entry = entries.read_entry(self.folder)
            yield verification.verified(entry).reason
            draw(entry, 2, "seed")
            make_verification(entry, [])
        except LebenchError as error:
            yield documents.printable(str(error))


def said(refusal: type[Exception] | tuple[type[Exception], ...], read: Callable[[], Any]) -> Iterator[str]:
    """Yield what a reader says, line by line if it does; it may refuse in one way."""
    try:
        found = read()
        if isinstance(found, Iterator):
            yield from found
    except refusal as error:
        yield str(error)


def main() -> None:
    """Fuzz with the options of libFuzzer."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as temporary:
        folder = Path(temporary)
        for part in ("scratch", "main", "corpus"):
            (folder / part).mkdir()
        tempfile.tempdir = str(folder / "scratch")
        fuzzer = Fuzzer(folder)
        sys.addaudithook(fuzzer.watch.hook)
        warnings.simplefilter("ignore")
        options = ["-timeout=120", f"-rss_limit_mb={LARGEST_MB}", "-len_control=0", "-max_len=1000", *sys.argv[1:]]
        if all(option.startswith("-") or os.path.isdir(option) for option in options):
            # Inputs to begin with; those of one byte would take hours to grow.
            rng = random.Random(0)
            for place in range(300):
                (folder / "corpus" / str(place)).write_bytes(rng.randbytes(rng.choice((40, 100, 400))))
            options.append(str(folder / "corpus"))
        atheris.Setup([sys.argv[0], *options], fuzzer.one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
