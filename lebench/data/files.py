"""Data files that are not part of lebench: where they are looked for, how they are checked and fetched.

Files are looked for in the folder named by the environment variable ``LEBENCH_DATA``, then in lebench's cache folder,
which ``lebench data fetch`` fills. Nothing is fetched unasked. Whatever is read is checked by the sha256 of its
contents, because the same contents are compressed differently on different servers.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import platformdirs
from numpy.typing import NDArray

from lebench.data.formats import idx_length, read_cifar, read_idx
from lebench.errors import DataError, UnavailableDataError

#: The environment variable that names a folder of files that are already there.
VARIABLE = "LEBENCH_DATA"

#: Seconds until a server must have answered, and between two parts of its answer.
TIMEOUT = (5.0, 20.0)

_CHUNK = 2**16


def cache_folder() -> Path:
    """Return the folder that ``lebench data fetch`` fills."""
    try:
        return platformdirs.user_cache_path("lebench") / "data"
    except RuntimeError:  # a user without a home, as in a container
        return Path(tempfile.gettempdir(), f"lebench-{os.getuid()}", "data")


class Bar(Protocol):
    """What pooch asks of a progress bar."""

    total: int

    def update(self, n: int, /) -> None:
        """Count n more bytes."""

    def reset(self) -> None:
        """Count from 0 again."""

    def close(self) -> None:
        """Nothing more comes."""


@dataclass(frozen=True)
class DataFile:
    """One file of a source.

    Attributes
    ----------
    name : str
        Its name when it is not compressed.
    shape : tuple of int
        Dimensions of the array of bytes in it.
    sha256 : str
        Of its contents; empty if only that of the official archive is known, which is then needed.
    archive_sha256 : str
        Of the official ``name.gz``, if that is to be checked.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str
    archive_sha256: str = ""


@dataclass(frozen=True)
class FileState:
    """What was found of a file.

    Attributes
    ----------
    name : str
        Its name.
    path : Path or None
        Where it is, if it is anywhere.
    bytes : int
        Its size on disk.
    problem : str
        Why it cannot be used; empty if it can.
    """

    name: str
    path: Path | None
    bytes: int
    problem: str


@dataclass(frozen=True)
class Source:
    """The files of a dataset, and where they come from.

    Attributes
    ----------
    name : str
        Name of the dataset.
    format : {"idx", "cifar"}
        How the files are to be read.
    folders : tuple of str
        Where under ``LEBENCH_DATA`` to look: names of subfolders, ``""`` for the folder itself. The first is also the
        name of the subfolder in the cache.
    files : tuple of DataFile
        Those that are needed, no others.
    urls : tuple of str
        Folders of servers that offer each file as ``name.gz``; or, if `archive_md5` is set, archives of all files.
    archive_md5 : str
        Published checksum of the archive of all files.
    """

    name: str
    format: str
    folders: tuple[str, ...]
    files: tuple[DataFile, ...]
    urls: tuple[str, ...]
    archive_md5: str = ""

    def arrays(self) -> list[NDArray[np.uint8]]:
        """Return the array of each file, in their order.

        Raises
        ------
        UnavailableDataError
            If a file is missing or cannot be used; the message names it, the cause and the cure.
        """
        return [self._read(file, self._locate(file)) for file in self.files]

    def states(self) -> Iterator[FileState]:
        """Read and check each file and yield what was found."""
        for file in self.files:
            path = None
            try:
                path = self._locate(file)
                self._read(file, path)
            except UnavailableDataError as error:
                yield FileState(file.name, path, path.stat().st_size if path else 0, str(error))
            else:
                yield FileState(path.name, path, path.stat().st_size, "")

    def fetch(self, bar: Callable[[str], Bar | None] = lambda name: None) -> list[Path]:
        """Fetch the files that are missing or damaged into the cache and return their paths.

        Parameters
        ----------
        bar : callable
            Returns a progress bar for a download, from the words that say which.

        Raises
        ------
        UnavailableDataError
            If no server could be reached or none had the right files, if a damaged file in ``LEBENCH_DATA`` stands
            in the way, or if the cache cannot be written to.
        """
        wanted = [file for file in self.files if not self._usable(file)]
        if not wanted:
            return []
        folder = cache_folder() / self.folders[0]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as temporary:
                return [self._keep(file, path, folder) for file, path in self._download(wanted, Path(temporary), bar)]
        except UnavailableDataError:
            raise
        except OSError as error:
            raise UnavailableDataError(
                f"dataset {self.name!r}: cannot write to {str(folder)!r}: {error.strerror or error}; "
                f"free space or permit it, or set {VARIABLE} to a folder of the files"
            ) from error

    def _names(self, file: DataFile) -> tuple[str, ...]:
        """Return the names under which a file is looked for."""
        if self.format == "cifar":
            return (file.name,)
        return (f"{file.name}.gz", file.name) if file.sha256 else (f"{file.name}.gz",)

    @property
    def _cure(self) -> str:
        return f"get it with 'lebench data fetch {self.name}', or set {VARIABLE} to a folder that has it"

    def _folders(self) -> Iterator[Path]:
        if chosen := os.environ.get(VARIABLE):
            if not os.path.isdir(chosen):
                raise UnavailableDataError(
                    f"dataset {self.name!r}: {VARIABLE} is {chosen!r}, which is no folder; correct or unset it"
                )
            yield from (Path(chosen, folder) for folder in self.folders)
        yield cache_folder() / self.folders[0]

    def _locate(self, file: DataFile) -> Path:
        for folder in self._folders():
            for name in self._names(file):
                try:
                    os.stat(folder / name)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as error:
                    raise self._unusable(folder / name, f"it cannot be read: {error.strerror}") from error
                return folder / name
        raise UnavailableDataError(f"dataset {self.name!r}: the file {self._names(file)[0]} is not here; {self._cure}")

    def _usable(self, file: DataFile) -> bool:
        try:
            path = self._locate(file)
        except UnavailableDataError:
            return False
        try:
            self._read(file, path)
        except UnavailableDataError:
            if path.parent != cache_folder() / self.folders[0]:
                raise
            return False
        return True

    def _unusable(self, path: Path, cause: str) -> UnavailableDataError:
        own = path.parent == cache_folder() / self.folders[0]
        cure = "get it anew with" if own else "replace it, or remove it and use"
        return UnavailableDataError(
            f"dataset {self.name!r}: {str(path)!r} cannot be used: {cause}; {cure} 'lebench data fetch {self.name}'"
        )

    def _read(self, file: DataFile, path: Path) -> NDArray[np.uint8]:
        try:
            return self._checked(file, path)
        except DataError as error:
            raise self._unusable(path, str(error)) from error

    def _checked(self, file: DataFile, path: Path) -> NDArray[np.uint8]:
        """Return the array in a file; raise a DataError that says what is wrong with it."""
        read, length = (read_idx, idx_length) if self.format == "idx" else (read_cifar, np.prod)
        # One byte more than there may be tells a longer file, and a compressed one cannot fill the memory.
        limit = int(length(file.shape)) + 1
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as opened:
                contents = opened.read(limit)
            archive = path.read_bytes() if file.archive_sha256 else b""
        except EOFError as error:
            raise DataError("it is cut short: the compressed data end too early") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"it is no intact gzip file ({str(error).rstrip('.')})") from error
        except OSError as error:
            raise DataError(f"it cannot be read: {error.strerror or error}") from error
        array = read(contents, file.shape)
        for expected, found in ((file.sha256, contents), (file.archive_sha256, archive)):
            digest = hashlib.sha256(found).hexdigest()
            if expected and digest != expected:
                what = "contents" if found is contents else "archive"
                raise DataError(
                    f"its contents were altered: the sha256 of its {what} is {digest[:12]}..., not {expected[:12]}..."
                )
        return array

    def _download(
        self, wanted: list[DataFile], folder: Path, bar: Callable[[str], Bar | None]
    ) -> Iterator[tuple[DataFile, Path]]:
        """Fetch files into a folder and yield each when it is there and right."""
        if not self.archive_md5:
            for file in wanted:
                name = f"{file.name}.gz"
                yield file, self._first([f"{url}{name}" for url in self.urls], folder / name, file, bar)
            return
        archive = self._first(list(self.urls), folder / self.urls[0].rpartition("/")[2], None, bar)
        for file in wanted:
            try:
                with tarfile.open(archive) as opened:
                    # Only the bytes of this member are taken, to a path of our own choice.
                    member = opened.extractfile(f"{self.folders[0]}/{file.name}")
                    (folder / file.name).write_bytes(member.read() if member else b"")
                self._checked(file, folder / file.name)
            except (KeyError, tarfile.TarError, DataError) as error:
                raise UnavailableDataError(
                    f"dataset {self.name!r}: {archive.name} holds no usable {file.name}: {error}"
                ) from error
            yield file, folder / file.name

    def _first(self, urls: list[str], path: Path, file: DataFile | None, bar: Callable[[str], Bar | None]) -> Path:
        """Fetch from the first server that has the right file."""
        import pooch

        pooch.get_logger().setLevel("ERROR")
        failures = []
        for url in urls:
            host = url.split("/")[2]
            shown = bar(f"{path.name} from {host}") or False
            downloader = pooch.HTTPDownloader(progressbar=shown, chunk_size=_CHUNK, timeout=TIMEOUT)
            known = f"md5:{self.archive_md5}" if file is None else None
            try:
                pooch.retrieve(url, known, fname=path.name, path=path.parent, downloader=downloader)
                if file is not None:
                    self._checked(file, path)
            except (OSError, ValueError) as error:
                path.unlink(missing_ok=True)
                failures.append(f"{host}: {_reason(error)}")
            else:
                return path
        raise UnavailableDataError(
            f"dataset {self.name!r}: {path.name} could not be fetched ({'; '.join(failures)}); try again with a "
            f"network, or set {VARIABLE} to a folder that has it"
        )

    def _keep(self, file: DataFile, path: Path, folder: Path) -> Path:
        # The other form of a file, if it is there, is damaged: it would be found first.
        for name in self._names(file):
            (folder / name).unlink(missing_ok=True)
        return path.replace(folder / path.name)


def _reason(error: Exception) -> str:
    """Return in a few words why a download failed; raise the error if that was not the server's fault."""
    response: Any = getattr(error, "response", None)
    if response is not None:
        return f"it answers {response.status_code}"
    if isinstance(error, DataError):
        return str(error)
    # The exceptions of requests, which is pooch's dependency and not ours.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "Timeout" in kinds:
        return "it does not answer in time"
    if "RequestException" in kinds:
        return "no connection"
    if isinstance(error, OSError):
        raise error
    return "what it sends has another checksum"
