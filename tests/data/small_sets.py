"""Small image sets in the formats of MNIST and CIFAR-10, written by the tests."""

import gzip
import hashlib
import io
import struct
import tarfile

import numpy as np

from lebench.data.files import DataFile, Source

TRAIN, TEST = 60, 40
NOWHERE = "http://127.0.0.1:9/"


def idx(array):
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def digit_files():
    """Return name to (array, contents) of four IDX files; an image shows its label in all pixels, plus its number."""
    made = {}
    for part, n in (("train", TRAIN), ("t10k", TEST)):
        labels = np.arange(n) % 10
        images = np.repeat(10 * labels, 12).reshape(n, 4, 3) + (np.arange(n) // 10)[:, None, None]
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            made[name] = (array.astype(np.uint8), idx(array))
    return made


def digit_source(urls=(NOWHERE,), archives=None, name="small-digits"):
    """Return the source of the files; with archives, of which only the checksums of these are known."""
    files = tuple(
        DataFile(
            name,
            array.shape,
            "" if archives else hashlib.sha256(contents).hexdigest(),
            hashlib.sha256(archives[name]).hexdigest() if archives else "",
        )
        for name, (array, contents) in digit_files().items()
    )
    return Source(name, "idx", (name, ""), files, tuple(urls))


def write_digits(folder, compressed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, contents) in digit_files().items():
        path = folder / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(contents, mtime=0) if compressed else contents)
    return folder


def photo_files():
    """Return name to contents of two batches in the format of CIFAR-10."""
    rng = np.random.default_rng(0)
    made = {}
    for name, n in (("data_batch_1.bin", 20), ("test_batch.bin", 10)):
        records = rng.integers(0, 256, (n, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(n) % 10
        made[name] = records.tobytes()
    return made


def photo_archive(extra=b"not asked for"):
    """Return an archive of the batches and of one more file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, contents in {**photo_files(), "readme.html": extra}.items():
            info = tarfile.TarInfo(f"small-photos/{name}")
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return buffer.getvalue()


def photo_source(urls=(f"{NOWHERE}photos.tar.gz",), archive=None):
    files = tuple(
        DataFile(name, (len(contents) // 3073, 3073), hashlib.sha256(contents).hexdigest())
        for name, contents in photo_files().items()
    )
    md5 = hashlib.md5(photo_archive() if archive is None else archive).hexdigest()
    return Source("small-photos", "cifar", ("small-photos", ""), files, tuple(urls), md5)
