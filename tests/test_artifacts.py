import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from lebench.artifacts import LIMIT, ArtifactError, pack, unpack


def member(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def archive(members, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as z:
        for name, content in members.items():
            z.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def packed():
    return pack({"similarity": np.linspace(0, 1, 12).reshape(3, 4), "labels": np.array([0, 1, 2])})


def test_arrays_come_back_in_single_precision(packed):
    content, described = packed
    arrays = unpack(content, described)
    assert arrays["similarity"].dtype == np.float32
    assert arrays["labels"].dtype == np.int32
    np.testing.assert_array_equal(arrays["similarity"], np.linspace(0, 1, 12).reshape(3, 4).astype("f4"))
    np.testing.assert_array_equal(arrays["labels"], [0, 1, 2])
    assert described["similarity"].shape == (3, 4)


def test_the_same_arrays_make_the_same_file(packed):
    again = pack({"labels": np.array([0, 1, 2]), "similarity": np.linspace(0, 1, 12).reshape(3, 4)})
    assert again == packed


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"../x": np.zeros(2)}, "lower-case letters"),
        ({"x": np.array([1.0, np.nan])}, "finite numbers"),
        ({"x": np.array(["a"])}, "finite numbers"),
        ({"x": np.zeros(LIMIT // 4 + 1)}, "at most 2,000,000 are kept"),
    ],
)
def test_what_cannot_be_kept(arrays, message):
    with pytest.raises(ArtifactError, match=message):
        pack(arrays)


def test_hostile_files_are_refused_without_a_pickle_or_a_large_allocation(packed):
    content, described = packed
    good = {name: zipfile.ZipFile(io.BytesIO(content)).read(name) for name in ("similarity.npy", "labels.npy")}
    pickled = member(np.array([object], dtype=object))
    # A header that announces 8 TB, in front of nothing.
    huge = good["similarity.npy"].replace(b"(3, 4)", b"(9999999, 999999)".ljust(6))
    for members, message in (
        ({**good, "similarity.npy": pickled}, "not stored as lebench"),
        ({**good, "similarity.npy": huge}, "damaged|not stored|not whole"),
        ({**good, "similarity.npy": b"\0" * 50_000_000}, "50,000,000 bytes unpacked, not 48"),
        ({**good, "similarity.npy": member(np.ones((3, 4), "f4"))}, "checksum"),
        ({**good, "similarity.npy": member(np.ones((3, 4)))}, "not stored as lebench"),
        ({**good, "similarity.npy": member(np.asfortranarray(np.ones((3, 4), "f4")))}, "not stored as lebench"),
        ({**good, "similarity.npy": member(np.ones(12, [("x", "<f4")]))}, "not stored as lebench"),
        ({**good, "similarity.npy": good["similarity.npy"].replace(b"(3, 4)", b"(-3,4)")}, "not stored as lebench"),
        ({**good, "similarity.npy": good["similarity.npy"].replace(b"(3, 4)", b"(((((6")}, "not stored as lebench"),
        ({**good, "similarity.npy": good["similarity.npy"] + b"more"}, "not whole"),
        ({**good, "more.npy": good["labels.npy"]}, "does not hold just"),
        ({"labels.npy": good["labels.npy"]}, "does not hold just"),
        ({**good, **{f"{i}.npy": b"" for i in range(2000)}}, "does not hold just"),
    ):
        with pytest.raises(ArtifactError, match=message):
            unpack(archive(members), described)


@pytest.mark.parametrize(
    "damage", [lambda c: c[: len(c) // 2], lambda c: b"no archive", lambda c: c[:60] + b"x" + c[61:]]
)
def test_damaged_files_are_refused(packed, damage):
    content, described = packed
    with pytest.raises(ArtifactError):
        unpack(damage(content), described)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_asks_for_memory_first_is_refused(packed, compression):
    content, described = packed
    source = zipfile.ZipFile(io.BytesIO(content))
    members = {name: source.read(name) for name in source.namelist()}
    with pytest.raises(ArtifactError, match="its compression"):
        unpack(archive(members, compression), described)


def test_what_unpacks_to_more_than_it_declares_is_not_unpacked(packed):
    content, described = packed
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        members = {name: source.read(name) for name in source.namelist()}
    size = len(members["similarity.npy"])
    bomb = archive({**members, "similarity.npy": members["similarity.npy"] + b"\0" * 100_000_000})
    lying = bomb.replace((size + 100_000_000).to_bytes(4, "little"), size.to_bytes(4, "little"))
    assert lying != bomb
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="damaged: Bad CRC-32"):
        unpack(lying, described)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_what_an_archive_hides_between_its_members_is_found(packed):
    content, described = packed
    for hiding in (b"hidden" + content, content + b"hidden"):
        with pytest.raises(ArtifactError, match=r"more than arrays|damaged"):
            unpack(hiding, described)
    commented = io.BytesIO(content)
    with zipfile.ZipFile(commented, "a") as archive:
        archive.comment = b"hidden"
    with pytest.raises(ArtifactError, match="more than arrays"):
        unpack(commented.getvalue(), described)


@pytest.mark.parametrize("where", ["extra", "comment"])
def test_what_an_archive_hides_beside_its_members_is_found(packed, where):
    content, described = packed
    source = zipfile.ZipFile(io.BytesIO(content))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as stuffed:
        for info in source.infolist():
            hidden = b"\xca\xfe" + (20_000).to_bytes(2, "little") + b"x" * 20_000
            setattr(info, where, hidden if where == "extra" else hidden[4:])
            stuffed.writestr(info, source.read(info.filename))
    with pytest.raises(ArtifactError, match="more than arrays"):
        unpack(file.getvalue(), described)


def test_no_more_is_described_than_one_record_may_have(packed):
    content, described = packed
    for many in (
        {"similarity": described["similarity"].model_copy(update={"bytes": LIMIT + 1})},
        {f"x{i}": described["labels"] for i in range(65)},
    ):
        with pytest.raises(ArtifactError, match="at most 64 of 2,000,000"):
            unpack(content, many)


@pytest.mark.parametrize("name", ["\U00089a15", "a\nb", "../a", "A", ""])
def test_a_message_repeats_no_name_that_pack_would_not_write(packed, name):
    """Found by make fuzz: the names that a record describes may be any text."""
    content, described = packed
    with pytest.raises(ArtifactError, match="an array is described whose name has more than lower-case letters"):
        unpack(content, {**described, name: next(iter(described.values()))})
