"""Files of datasets: found where they are, checked, fetched from a server, and refused in words that help."""

import gzip
import http.server
import os
import pwd
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import small_sets as small

from lebench.data import files
from lebench.errors import UnavailableDataError

IMAGES = "train-images-idx3-ubyte"
#: The original: the tests have another.
CACHE_FOLDER = files.cache_folder


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty cache folder, and no folder of files."""
    monkeypatch.delenv("LEBENCH_DATA", raising=False)
    monkeypatch.setattr(files, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path


@pytest.fixture
def serve(tmp_path):
    """Serve a folder on this machine; return its address and what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

        def do_GET(self):
            if self.path.startswith("/slow/"):
                time.sleep(1)
            super().do_GET()

    folder = tmp_path / "served"
    folder.mkdir()

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *args):
            """Who asked may have left: that is what the test is about."""

    server = Server(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", folder, asked
    server.shutdown()
    thread.join()
    server.server_close()


def check_digits(source):
    for array, (expected, _) in zip(source.arrays(), small.digit_files().values(), strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("subfolder", ["small-digits", "."])
def test_files_are_found_under_the_folder_of_the_variable(compressed, subfolder, places, monkeypatch):
    small.write_digits(places / "mine" / subfolder, compressed)
    monkeypatch.setenv("LEBENCH_DATA", str(places / "mine"))
    check_digits(small.digit_source())


def test_the_cache_serves_what_the_variables_folder_does_not_have(places, monkeypatch):
    small.write_digits(places / "cache" / "small-digits")
    check_digits(small.digit_source())
    (places / "mine").mkdir()
    monkeypatch.setenv("LEBENCH_DATA", str(places / "mine"))
    check_digits(small.digit_source())


def test_batches_are_read_and_no_others_are_needed(places, monkeypatch):
    (places / "small-photos").mkdir()
    for name, contents in small.photo_files().items():
        (places / "small-photos" / name).write_bytes(contents)
    monkeypatch.setenv("LEBENCH_DATA", str(places))
    assert [array.shape for array in small.photo_source().arrays()] == [(20, 3073), (10, 3073)]


def replaced(places, monkeypatch, contents, name=f"{IMAGES}.gz"):
    """Replace a file and return the complaint about it."""
    folder = small.write_digits(places / "small-digits")
    (folder / f"{IMAGES}.gz").unlink()
    if contents is not None:
        (folder / name).write_bytes(contents)
    monkeypatch.setenv("LEBENCH_DATA", str(places))
    with pytest.raises(UnavailableDataError) as raised:
        small.digit_source().arrays()
    message = str(raised.value)
    assert "\n" not in message
    return message


GOOD = small.digit_files()[IMAGES][1]
ALTERED = bytearray(GOOD)
ALTERED[100] ^= 1


@pytest.mark.parametrize(
    ("contents", "cause"),
    [
        (gzip.compress(GOOD, mtime=0)[:-30], "it is cut short: the compressed data end too early"),
        (gzip.compress(GOOD, mtime=0)[:5], "it is cut short: the compressed data end too early"),
        (GOOD, "it is no intact gzip file"),
        (gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), "it is no intact gzip file (CRC check failed"),
        (gzip.compress(GOOD[:-10], mtime=0), "it is cut short: 726 of 736 bytes"),
        (gzip.compress(GOOD + bytes(10), mtime=0), "it is longer than the 736 bytes"),
        (gzip.compress(bytes(ALTERED), mtime=0), "its contents were altered: the sha256 of its contents is"),
        (
            gzip.compress(small.digit_files()["train-labels-idx1-ubyte"][1], mtime=0),
            "its dimensions are 60, 60 x 4 x 3",
        ),
        (b"", "it is no IDX file: it begins with nothing"),
    ],
)
def test_a_damaged_file_is_named_with_cause_and_cure(contents, cause, places, monkeypatch):
    message = replaced(places, monkeypatch, contents)
    assert f"small-digits/{IMAGES}.gz' cannot be used" in message
    assert cause in message
    assert "replace it, or remove it and use 'lebench data fetch small-digits'" in message


def test_an_uncompressed_file_is_checked_in_the_same_way(places, monkeypatch):
    message = replaced(places, monkeypatch, bytes(ALTERED), IMAGES)
    assert f"{IMAGES}' cannot be used: its contents were altered" in message


def test_a_missing_file_is_named_with_the_cure(places, monkeypatch):
    message = replaced(places, monkeypatch, None)
    assert message == (
        f"dataset 'small-digits': the file {IMAGES}.gz is not here; get it with 'lebench data fetch small-digits', "
        "or set LEBENCH_DATA to a folder that has it"
    )


def test_a_folder_that_is_none_is_said_to_be_none(monkeypatch):
    monkeypatch.setenv("LEBENCH_DATA", "/no/such/folder")
    with pytest.raises(UnavailableDataError, match="LEBENCH_DATA is '/no/such/folder', which is no folder"):
        small.digit_source().arrays()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(places, monkeypatch):
    folder = small.write_digits(places / "small-digits")
    (folder / f"{IMAGES}.gz").chmod(0)
    monkeypatch.setenv("LEBENCH_DATA", str(places))
    with pytest.raises(UnavailableDataError, match="it cannot be read: Permission denied"):
        small.digit_source().arrays()


def test_a_folder_in_the_place_of_a_file(places, monkeypatch):
    folder = small.write_digits(places / "small-digits")
    (folder / f"{IMAGES}.gz").unlink()
    (folder / f"{IMAGES}.gz").mkdir()
    monkeypatch.setenv("LEBENCH_DATA", str(places))
    with pytest.raises(UnavailableDataError, match="it cannot be read: Is a directory"):
        small.digit_source().arrays()


def test_where_only_the_checksum_of_the_archive_is_known_the_archive_is_needed(places, monkeypatch):
    archives = {name: gzip.compress(contents, mtime=0) for name, (_, contents) in small.digit_files().items()}
    source = small.digit_source(archives=archives)
    folder = small.write_digits(places / "small-digits")
    monkeypatch.setenv("LEBENCH_DATA", str(places))
    check_digits(source)
    (folder / f"{IMAGES}.gz").write_bytes(gzip.compress(GOOD, mtime=1))
    with pytest.raises(UnavailableDataError, match="the sha256 of its archive is"):
        source.arrays()
    (folder / f"{IMAGES}.gz").rename(folder / IMAGES)
    (folder / IMAGES).write_bytes(GOOD)
    with pytest.raises(UnavailableDataError, match=f"{IMAGES}.gz is not here"):
        source.arrays()


def test_states_tell_each_file(places, monkeypatch):
    folder = small.write_digits(places / "small-digits")
    (folder / f"{IMAGES}.gz").write_bytes(b"none")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("LEBENCH_DATA", str(places))
    states = {state.name: state for state in small.digit_source().states()}
    assert "cannot be used" in states[IMAGES].problem
    assert states[IMAGES].bytes == 4
    assert states["t10k-labels-idx1-ubyte"].path is None
    good = states["train-labels-idx1-ubyte.gz"]
    assert (good.problem, good.path) == ("", folder / "train-labels-idx1-ubyte.gz")


def test_fetching_fills_the_cache_from_the_first_server_that_has_the_file(serve, places):
    address, served, asked = serve
    small.write_digits(served / "copies")
    (served / "damaged").mkdir()
    for name in small.digit_files():
        (served / "damaged" / f"{name}.gz").write_bytes(gzip.compress(b"something else", mtime=0))
    source = small.digit_source([f"{address}missing/", f"{address}damaged/", f"{address}copies/"])
    fetched = source.fetch()
    assert sorted(path.name for path in fetched) == sorted(f"{name}.gz" for name in small.digit_files())
    check_digits(source)
    # Nothing is left of what was tried, and nothing is asked of a server again.
    assert sorted(path.name for path in (places / "cache" / "small-digits").iterdir()) == sorted(
        path.name for path in fetched
    )
    before = len(asked)
    assert source.fetch() == []
    assert len(asked) == before


def test_fetching_replaces_only_what_is_damaged_in_the_cache(serve, places):
    address, served, asked = serve
    small.write_digits(served)
    source = small.digit_source([address])
    source.fetch()
    asked.clear()
    (places / "cache" / "small-digits" / f"{IMAGES}.gz").write_bytes(b"cut")
    with pytest.raises(UnavailableDataError, match="get it anew with 'lebench data fetch small-digits'"):
        source.arrays()
    assert [path.name for path in source.fetch()] == [f"{IMAGES}.gz"]
    assert asked == [f"/{IMAGES}.gz"]
    check_digits(source)


def test_a_damaged_file_of_the_users_is_not_replaced(serve, places, monkeypatch):
    address, served, asked = serve
    small.write_digits(served)
    folder = small.write_digits(places / "mine")
    (folder / f"{IMAGES}.gz").write_bytes(b"cut")
    monkeypatch.setenv("LEBENCH_DATA", str(folder))
    with pytest.raises(UnavailableDataError, match="replace it, or remove it"):
        small.digit_source([address]).fetch()
    assert asked == []
    assert (folder / f"{IMAGES}.gz").read_bytes() == b"cut"


def test_an_archive_is_fetched_once_and_only_what_is_needed_is_kept(serve, places):
    address, served, asked = serve
    (served / "photos.tar.gz").write_bytes(small.photo_archive())
    source = small.photo_source([f"{address}photos.tar.gz"])
    source.fetch()
    assert sorted(path.name for path in (places / "cache" / "small-photos").iterdir()) == sorted(small.photo_files())
    assert len(source.arrays()) == 2
    assert asked == ["/photos.tar.gz"]


def test_an_altered_archive_is_refused(serve):
    address, served, _ = serve
    (served / "photos.tar.gz").write_bytes(small.photo_archive(extra=b"altered"))
    with pytest.raises(UnavailableDataError, match=r"127\.0\.0\.1:[0-9]*: what it sends has another checksum"):
        small.photo_source([f"{address}photos.tar.gz"]).fetch()


def test_an_archive_without_the_files_is_refused(serve):
    address, served, _ = serve
    empty = b"this is no archive"
    (served / "photos.tar.gz").write_bytes(empty)
    with pytest.raises(UnavailableDataError, match=r"photos\.tar\.gz holds no usable data_batch_1\.bin"):
        small.photo_source([f"{address}photos.tar.gz"], archive=empty).fetch()


def test_without_a_network_it_says_so(places):
    with pytest.raises(UnavailableDataError) as raised:
        small.digit_source([small.NOWHERE, "http://localhost:9/"]).fetch()
    assert str(raised.value) == (
        f"dataset 'small-digits': {IMAGES}.gz could not be fetched (127.0.0.1:9: no connection; localhost:9: no "
        "connection); try again with a network, or set LEBENCH_DATA to a folder that has it"
    )
    assert list((places / "cache" / "small-digits").iterdir()) == []


def test_a_server_that_does_not_answer_or_has_no_file_is_given_up(serve, monkeypatch):
    address, _, _ = serve
    monkeypatch.setattr(files, "TIMEOUT", (0.3, 0.3))
    with pytest.raises(UnavailableDataError, match=r"it does not answer in time; 127\.0\.0\.1:[0-9]*: it answers 404"):
        small.digit_source([f"{address}slow/", address]).fetch()


def test_a_cache_that_cannot_be_written_to(places):
    (places / "cache").write_text("a file")
    with pytest.raises(UnavailableDataError, match=r"cannot write to .*cache.*free space or permit it"):
        small.digit_source().fetch()


def test_a_download_is_shown_by_the_bar(serve):
    address, served, _ = serve
    small.write_digits(served)
    bars = {}

    class Bar:
        def __init__(self, name):
            self.total, self.done, self.closed = 0, 0, False
            bars[name] = self

        def update(self, n):
            self.done += n

        def reset(self):
            self.done = 0

        def close(self):
            self.closed = True

    small.digit_source([address]).fetch(Bar)
    host = address.split("/")[2]
    assert list(bars) == [f"{name}.gz from {host}" for name in small.digit_files()]
    for bar in bars.values():
        assert bar.closed
        assert bar.done == bar.total > 0


def test_user_without_a_home_has_a_cache_folder(monkeypatch):
    def nobody(uid):
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert CACHE_FOLDER() == Path(tempfile.gettempdir(), f"lebench-{os.getuid()}", "data")
