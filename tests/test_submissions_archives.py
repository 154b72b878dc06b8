"""Archives: what counts is taken out of them; every attack is refused, named, and costs little."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import resource
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grader.course.assignment import Assignment, Limits
from grader.submissions import tar
from grader.submissions.archive import read_archive
from grader.submissions.choosing import Taken
from grader.submissions.reading import OpenFile, Refused

WORK = b"def forward(x):\n    return x\n"
ASSIGNMENT = Assignment(
    "bptt", "Through time", "bptt.py", ("numpy",), (), Limits(), (), folder=Path("nowhere"), secret=None
)
DAMAGED = "the archive is damaged, or not what its name says"
MISSING = "no bptt.py or bptt.ipynb in the archive"

Reader = Callable[[bytes], Taken]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def read_bytes(content: bytes) -> Taken:
        path = tmp_path / "handed-in"
        path.write_bytes(content)
        with OpenFile(path, len(content)) as archive:
            return read_archive(ASSIGNMENT, archive)

    return read_bytes


def member(name: str, mode: int = 0o100644, system: int = 3) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (2024, 2, 3, 4, 5, 6))
    info.create_system = system
    info.external_attr = mode << 16
    return info


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            archive.writestr(name, content, compress_type=method)
    return buffer.getvalue()


def tarred(*members: tuple[str | tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def odd(kind: bytes, name: str = "bptt.py", target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def with_name(archive: bytes, old: bytes, new: bytes) -> bytes:
    """Put `new` in the place of `old` (same length) in all headers: a name that zipfile would not write."""
    assert len(old) == len(new)
    assert archive.count(old) == 2
    return archive.replace(old, new)


# -------- good archives


@pytest.mark.parametrize("name", ["bptt.py", "./bptt.py", "hw/bptt.py", "a/b/c/bptt.py", "s001\\bptt.py"])
def test_zip_at_any_depth_up_to_three(read: Reader, name: str) -> None:
    assert read(zipped((name, WORK))) == Taken({"bptt.py": WORK})
    assert read(zipped((name, WORK), method=zipfile.ZIP_STORED)) == Taken({"bptt.py": WORK})


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar_formats(read: Reader, form: int) -> None:
    deep = "a" * 120 + "/" + "b" * 30 + "/bptt.py"
    for content in (WORK, b"", b"#" * 512, b"#" * 70_001):
        plain = tarred(("notes.txt", b"n" * 777), (deep, content), form=form)
        for packed in (plain, gzip.compress(plain)):
            taken = read(packed)
            assert taken.files == {"bptt.py": content}
            assert taken.set_aside == ("notes.txt: not asked for",)


def test_tar_without_its_end_and_without_padding(read: Reader) -> None:
    whole = tarred(("bptt.py", WORK), form=tarfile.USTAR_FORMAT)
    assert read(whole[:1024]).files == {"bptt.py": WORK}
    assert read(whole[: 512 + len(WORK)]).files == {"bptt.py": WORK}
    assert read(whole[: 512 + len(WORK) - 1]).problem == DAMAGED


def test_both_forms_are_returned(read: Reader) -> None:
    for packed in (
        zipped(("w/bptt.py", WORK), ("w/bptt.ipynb", b"{}")),
        tarred(("bptt.py", WORK), ("bptt.ipynb", b"{}")),
    ):
        assert read(packed).files == {"bptt.py": WORK, "bptt.ipynb": b"{}"}


def test_the_shallowest_wins(read: Reader) -> None:
    files = [("a/b/bptt.py", b"deep"), ("a/bptt.py", WORK), ("x/y/z/w/bptt.py", b"deeper still")]
    for packed in (zipped(*files), tarred(*files)):
        taken = read(packed)
        assert taken.files == {"bptt.py": WORK}
        assert taken.set_aside == (
            "x/y/z/w/bptt.py: deeper than 3 folders",
            "a/b/bptt.py: another one lies higher up",
        )


def test_mac_and_hidden_members_are_passed_over(read: Reader) -> None:
    files = [
        ("__MACOSX/._bptt.py", b"junk"),
        ("__MACOSX/bptt.py", b"junk"),
        (".git/hooks/bptt.py", b"x"),
        ("bptt.py", WORK),
    ]
    for packed in (zipped(*files), tarred(*files)):
        assert read(packed) == Taken({"bptt.py": WORK})


def test_a_folder_called_like_the_assignment_wins(read: Reader) -> None:
    taken = read(zipped(("bptt/bptt.py", WORK), ("copy/bptt.py", b"old")))
    assert taken.files == {"bptt.py": WORK}
    assert taken.set_aside == ("copy/bptt.py: another one is taken",)


def test_everything_else_is_listed_up_to_twenty_lines(read: Reader) -> None:
    taken = read(zipped(("bptt.py", WORK), *((f"data{n}.csv", b"") for n in range(33))))
    assert len(taken.set_aside) == 21
    assert taken.set_aside[0] == "data0.csv: not asked for"
    assert taken.set_aside[-1] == "and 13 more"


def test_nothing_of_use(read: Reader) -> None:
    assert read(zipped()).problem == MISSING
    assert read(zipped(("lstm.py", WORK))).problem == MISSING
    assert read(tarred(("lstm.py", WORK))).problem == MISSING
    assert read(zipped(("setup.py", b"evil"), ("numpy/__init__.py", b"evil"))).set_aside == (
        "setup.py: not asked for",
        "numpy/__init__.py: not asked for",
    )


# -------- names that attack


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../bptt.py", "a name that leaves the archive"),
        ("hw/../../bptt.py", "a name that leaves the archive"),
        ("..\\bptt.py", "a name that leaves the archive"),
        ("/bptt.py", "an absolute name"),
        ("/tmp/bptt.py", "an absolute name"),
        ("C:\\work\\bptt.py", "an absolute name"),
        ("\\\\host\\share\\bptt.py", "an absolute name"),
        ("a/" * 600 + "bptt.py", "the name is too long"),
    ],
)
def test_names_that_lead_away(read: Reader, name: str, reason: str) -> None:
    for packed in (zipped((name, b"evil")), tarred((name, b"evil"))):
        taken = read(packed)
        assert taken.files == {}
        assert taken.problem is not None
        assert taken.problem.startswith(MISSING)
        assert taken.set_aside[0].endswith(f": refused, {reason}")
        assert len(taken.set_aside[0]) < 200
    good = read(zipped((name, b"evil"), ("hw/bptt.py", WORK)))
    assert good.files == {"bptt.py": WORK}
    assert good.set_aside[0].endswith(reason)


def test_a_nul_in_a_name(read: Reader) -> None:
    packed = with_name(zipped(("bptt.pyX.txt", b"evil")), b"bptt.pyX.txt", b"bptt.py\0.txt")
    taken = read(packed)
    assert taken.files == {}
    assert taken.set_aside == ("bptt.py\\x00.txt: refused, a NUL in the name",)


def test_names_that_only_look_right(read: Reader) -> None:
    look_alikes = [
        "bptt.p\u0443",
        "\u0432ptt.py",
        "bptt.py\u200b",
        "BPTT.PY",
        "\uff42ptt.py",
        "bptt.py ",
        "bp\u0301tt.py",
    ]
    for name in look_alikes:
        for packed in (zipped((name, b"evil")), tarred((name, b"evil"))):
            taken = read(packed)
            assert taken.files == {}
            assert len(taken.set_aside) == 1
            assert taken.set_aside[0].isprintable()
            assert not taken.set_aside[0].startswith("bptt.py:")
    assert read(zipped(("bptt.p\u0443", b""))).set_aside == ("bptt.p\\u0443: the name must be exactly bptt.py",)
    assert read(zipped(("BPTT.PY", b""))).set_aside == ("BPTT.PY: the name must be exactly bptt.py",)


def test_names_with_escape_sequences_are_made_harmless(read: Reader) -> None:
    taken = read(zipped(("\x1b[2J\u202eyp.ttpb", b""), ("a\nb", b""), ("bptt.py", WORK)))
    assert taken.files == {"bptt.py": WORK}
    assert taken.set_aside == ("\\x1b[2J\\u202eyp.ttpb: not asked for", "a\\nb: not asked for")


def test_one_name_twice(read: Reader) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        packed = zipped(("bptt.py", b"first"), ("bptt.py", b"second"))
    for content in (packed, tarred(("bptt.py", b"first"), ("bptt.py", b"second"))):
        taken = read(content)
        assert taken.files == {}
        assert taken.problem == "bptt.py is there more than once"
    spelt = read(zipped(("bptt.py", b"first"), ("./bptt.py", b"second")))
    assert spelt.files == {}
    assert spelt.problem == "bptt.py is there more than once"


# -------- links, devices, encryption


def test_links_and_devices_in_a_zip(read: Reader) -> None:
    for mode, reason in (
        (0o120777, "a symbolic link, which is not followed"),
        (0o020666, "not a regular file"),
        (0o010666, "not a regular file"),
    ):
        taken = read(zipped((member("bptt.py", mode), b"/etc/passwd")))
        assert taken.files == {}
        assert taken.problem == f"{MISSING} (bptt.py: {reason})"
    beside = read(zipped((member("hw", 0o120777), b"/etc"), ("bptt.py", WORK)))
    assert beside.files == {"bptt.py": WORK}
    assert beside.set_aside == ("hw: a symbolic link, which is not followed",)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (b"S", "a sparse file"),
        (b"V", "of an unknown kind"),
    ],
)
def test_links_and_devices_in_a_tar(read: Reader, kind: bytes, word: str) -> None:
    taken = read(tarred((odd(kind), b"")))
    assert taken.files == {}
    assert taken.problem == f"{MISSING} (bptt.py: {word}, which is not taken)"
    # A link that is there first changes nothing about the file behind it.
    beside = read(tarred((odd(kind, "hw/bptt.py"), b""), ("hw2/bptt.py", WORK)))
    assert beside.files == {"bptt.py": WORK}


def test_a_sparse_file_told_by_pax_headers(read: Reader) -> None:
    info = tarfile.TarInfo("bptt.py")
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": "999999999999",
    }
    assert read(tarred((info, WORK))).files == {}


def test_an_encrypted_member(read: Reader) -> None:
    packed = bytearray(zipped(("bptt.py", WORK), ("bptt.ipynb", b"{}")))
    first_local, first_central = packed.index(b"PK\3\4"), packed.index(b"PK\1\2")
    packed[first_local + 6] |= 1
    packed[first_central + 8] |= 1
    taken = read(bytes(packed))
    assert taken.files == {"bptt.ipynb": b"{}"}
    assert taken.set_aside == ("bptt.py in the archive is encrypted",)
    alone = bytearray(zipped(("bptt.py", WORK)))
    alone[6] |= 1
    alone[alone.index(b"PK\1\2") + 8] |= 1
    assert read(bytes(alone)).problem == "bptt.py in the archive is encrypted"


def test_archives_inside_are_not_opened(read: Reader) -> None:
    taken = read(zipped(("inner.zip", zipped(("bptt.py", WORK)))))
    assert taken.problem == MISSING
    assert taken.set_aside == ("inner.zip: an archive inside is not opened",)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing_is_refused(read: Reader, method: int) -> None:
    taken = read(zipped(("bptt.py", b"#" * 1000), method=method))
    assert taken.problem == "bptt.py in the archive is packed in an unusual way; make an ordinary zip"


# -------- bombs and lies


def patched_size(packed: bytes, size: int) -> bytes:
    """Say `size` as the unpacked size of the only member, in both of its headers."""
    central = packed.index(b"PK\1\2")
    data = bytearray(packed)
    data[22:26] = struct.pack("<I", size)
    data[central + 24 : central + 28] = struct.pack("<I", size)
    return bytes(data)


def test_a_zip_bomb_that_says_its_size(read: Reader) -> None:
    start = time.process_time()
    taken = read(zipped(("bptt.py", bytes(40 * 1024 * 1024))))
    assert taken.problem == "bptt.py in the archive is 40.0 MiB large; at most 2.0 MiB is taken"
    assert time.process_time() - start < 2


def test_a_zip_bomb_that_lies_about_its_size(read: Reader) -> None:
    packed = patched_size(zipped(("bptt.py", bytes(40 * 1024 * 1024))), 1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = read(packed)
    assert taken.files == {}
    assert taken.problem == DAMAGED
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB


def test_a_size_that_is_too_large_a_lie(read: Reader) -> None:
    taken = read(patched_size(zipped(("bptt.py", WORK)), 5000))
    assert taken.files == {}
    assert taken.problem is not None


def test_bytes_are_counted_whatever_the_headers_say(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    # zipfile stops at the declared size; the count must hold by itself all the same.
    real = zipfile.ZipFile.open

    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return bytes(size)

    packed = zipped(("bptt.py", WORK))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *args, **kwargs: Endless())
    taken = read(packed)
    assert taken.problem == "bptt.py in the archive unpacks to more than 2.0 MiB"
    monkeypatch.setattr(zipfile.ZipFile, "open", real)
    assert read(packed).files == {"bptt.py": WORK}


def test_a_tar_bomb(read: Reader) -> None:
    big = tarfile.TarInfo("data.bin")
    header = tarfile.TarInfo.tobuf
    for size in (500 * 1024 * 1024, 8**11 - 1):
        big.size = size
        squeezed = gzip.compress(header(big) + bytes(100 * 1024 * 1024), 1)
        start = time.process_time()
        taken = read(squeezed + gzip.compress(tarred(("bptt.py", WORK))))
        assert taken.problem == "the archive unpacks to more than 64.0 MiB"
        assert time.process_time() - start < 5


def test_a_tar_member_that_is_too_large(read: Reader) -> None:
    taken = read(gzip.compress(tarred(("bptt.py", bytes(3 * 1024 * 1024)), ("notes.txt", b""))))
    assert taken.problem == "bptt.py in the archive is larger than 2.0 MiB"


def test_tar_headers_that_lie(read: Reader) -> None:
    info = tarfile.TarInfo("bptt.py")
    for size in (2**40, 2**90, 10_000):
        info.size = size
        try:
            lying = info.tobuf(tarfile.GNU_FORMAT)
        except (ValueError, OverflowError):
            continue
        taken = read(lying + WORK)
        assert taken.files == {}
        assert taken.problem == DAMAGED
    for key, value in (("size", "-5"), ("size", "9" * 30), ("size", "\u0663"), ("size", "")):
        info = tarfile.TarInfo("bptt.py")
        info.pax_headers = {key: value}
        taken = read(tarred((info, WORK)))
        assert taken.problem == DAMAGED, value


def test_extended_tar_headers_are_bounded(read: Reader) -> None:
    for kind in (b"x", b"g", b"L", b"K"):
        info = odd(kind, "././@LongLink", "")
        info.size = 50 * 1024 * 1024
        start = time.process_time()
        assert read(info.tobuf() + b"1" * (51 * 1024 * 1024)).problem == DAMAGED
        assert time.process_time() - start < 1
    # A run of digits: what made a regular expression quadratic (CVE-2024-6232).
    info = odd(b"x", "header", "")
    info.size = 60_000
    start = time.process_time()
    assert read((info.tobuf() + b"1" * 60_416) * 100).problem == DAMAGED
    assert time.process_time() - start < 1


def test_a_long_pax_header_is_refused_and_a_short_one_is_not(read: Reader) -> None:
    for length, problem in ((60_000, None), (70_000, DAMAGED)):
        info = tarfile.TarInfo("bptt.py")
        info.pax_headers = {"comment": "c" * length}
        assert read(tarred((info, WORK))).problem == problem


def test_a_damaged_tar_header_is_seen(read: Reader) -> None:
    whole = bytearray(tarred(("bptt.pz", WORK), form=tarfile.USTAR_FORMAT))
    whole[6] = ord("y")
    assert read(bytes(whole)).problem == DAMAGED


def test_very_many_extended_headers(read: Reader) -> None:
    info = odd(b"x", "header", "")
    info.size = 0
    packed = info.tobuf() * 100_000 + tarred(("bptt.py", WORK))
    start = time.process_time()
    taken = read(gzip.compress(packed, 1))
    assert taken.problem == DAMAGED
    assert time.process_time() - start < 1


@pytest.mark.parametrize("where", ["first", "last"])
def test_a_hundred_thousand_members_of_a_tar(read: Reader, where: str) -> None:
    crowd = tarfile.TarInfo("x").tobuf() * 100_000
    work = tarred(("bptt.py", WORK))[:1024]
    start = time.process_time()
    taken = read(work + crowd if where == "first" else crowd + work)
    assert time.process_time() - start < 2
    assert taken.files == ({"bptt.py": WORK} if where == "first" else {})
    assert taken.set_aside[0] == "only the first 2000 members of the archive were looked at"
    assert len(taken.set_aside) == 21


def test_a_hundred_thousand_members_of_a_zip(read: Reader) -> None:
    fields = (20, 0, 0, 0, 0, 0, 0, 0)
    entry = b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 20, *fields, 6, 0, 0, 0, 0, 0, 0)
    for count, problem in (
        (100_000, "the archive is not read: its list of members is over 4.0 MiB"),
        (70_000, MISSING),
    ):
        central = b"".join(entry + b"x%05d" % (n % 100_000) for n in range(count))
        end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 9, 9, len(central), 0, 0)
        start = time.process_time()
        assert read(central + end).problem == problem
        assert time.process_time() - start < 4


def test_three_thousand_members_of_a_zip(read: Reader) -> None:
    crowd = [(f"x{n}", b"") for n in range(3000)]
    assert read(zipped(("bptt.py", WORK), *crowd)).files == {"bptt.py": WORK}
    late = read(zipped(*crowd, ("bptt.py", WORK)))
    assert late.files == {}
    assert late.set_aside[0] == "only the first 2000 members of the archive were looked at"


def test_a_list_of_members_that_lies_about_its_length(read: Reader) -> None:
    packed = bytearray(zipped(("bptt.py", WORK)))
    end = packed.rindex(b"PK\5\6")
    for size in (0, 10, 0xFFFFFFF0, 0xFFFFFFFF):
        lying = packed.copy()
        lying[end + 12 : end + 16] = struct.pack("<I", size)
        assert read(bytes(lying)).problem is not None


def test_a_central_directory_that_disagrees_with_the_local_header(read: Reader) -> None:
    packed = zipped(("xptt.py", WORK))
    central = packed.index(b"PK\1\2")
    lying = packed[:central] + packed[central:].replace(b"xptt.py", b"bptt.py")
    assert read(lying).problem == DAMAGED


def test_members_that_overlap_cost_little(read: Reader) -> None:
    # Many names for the same bytes (as in overlap bombs): only the one that counts is ever unpacked.
    kernel = zlib.compress(bytes(1024 * 1024))[2:-4]
    crc = zlib.crc32(bytes(1024 * 1024))
    fields = (20, 0, 8, 0, 0, crc, len(kernel), 1024 * 1024)
    local = b"PK\3\4" + struct.pack("<HHHHHIIIHH", *fields, 7, 0) + b"bptt.py" + kernel
    names = [b"bptt.py", *(b"x%05d" % n for n in range(1500))]
    central = b"".join(
        b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", 20, *fields, len(name), 0, 0, 0, 0, 0, 0) + name for name in names
    )
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(central), len(local), 0)
    start = time.process_time()
    assert read(local + central + end).files == {"bptt.py": bytes(1024 * 1024)}
    assert time.process_time() - start < 1


# -------- damaged


def test_not_an_archive_at_all(read: Reader) -> None:
    for content in (
        b"",
        b"PK",
        b"PK\3\4",
        b"PK\5\6",
        b"\x1f\x8b",
        b"Rar!\x1a\7\0",
        b"<html>",
        b"x" * 5000,
        bytes(100),
    ):
        taken = read(content)
        assert taken.files == {}
        assert taken.problem in (DAMAGED, MISSING), content
    assert read(bz2.compress(tarred(("bptt.py", WORK)))).problem == DAMAGED
    assert read(WORK).problem == DAMAGED


def test_every_cut_is_told(read: Reader) -> None:
    for packed in (zipped(("hw/bptt.py", WORK)), gzip.compress(tarred(("bptt.py", WORK)))):
        for cut in range(0, len(packed) - 1, 7):
            taken = read(packed[:cut])
            assert taken.problem is not None
            assert taken.files == {}


def test_a_flipped_bit_in_the_content_is_seen(read: Reader) -> None:
    packed = bytearray(zipped(("bptt.py", WORK), method=zipfile.ZIP_STORED))
    packed[packed.index(WORK) + 3] ^= 4
    assert read(bytes(packed)).problem == DAMAGED
    squeezed = bytearray(gzip.compress(tarred(("bptt.py", WORK))))
    squeezed[40] ^= 16
    assert read(bytes(squeezed)).problem == DAMAGED


def test_damaged_archives_of_two_students_share_a_reason(read: Reader) -> None:
    assert read(b"PK\3\4one").problem == read(b"PK\3\4two").problem == DAMAGED


ZIP = zipped(("a/bptt.py", WORK), ("bptt.ipynb", b"{}"), ("x/y.txt", b"more" * 50), (member("ln", 0o120777), b"/etc"))
TAR = tarred(("a" * 120 + "/bptt.py", WORK), ("bptt.ipynb", b"{}"), (odd(tarfile.SYMTYPE), b""))


@settings(max_examples=300, deadline=3000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_a_result_and_no_exception(tmp_path: Path, data: st.DataObject) -> None:
    base = data.draw(st.sampled_from([ZIP, TAR, gzip.compress(TAR, mtime=0), b"PK\3\4", b""]))
    damaged = bytearray(base)
    for _ in range(data.draw(st.integers(0, 8))):
        if damaged:
            at = data.draw(st.integers(0, len(damaged) - 1))
            damaged[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    damaged += data.draw(st.binary(max_size=40))
    path = tmp_path / "damaged"
    path.write_bytes(bytes(damaged))
    with OpenFile(path, 10**6) as archive:
        taken = read_archive(ASSIGNMENT, archive)
    assert set(taken.files) <= {"bptt.py", "bptt.ipynb"}
    assert (taken.problem is None) == bool(taken.files)
    assert taken.unreadable is None
    assert len(taken.set_aside) <= 21
    for line in (*taken.set_aside, taken.problem or ""):
        assert line.isprintable()
        assert len(line) < 400


def test_many_random_flips_of_a_zip(read: Reader) -> None:
    dice = random.Random(20240203)
    for _ in range(800):
        damaged = bytearray(ZIP)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        taken = read(bytes(damaged))
        assert (taken.problem is None) == bool(taken.files)


@settings(max_examples=150, deadline=2000)
@given(
    files=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=130),
            st.binary(max_size=1200),
        ),
        max_size=5,
    ),
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_the_tar_reader_agrees_with_the_standard_library(files: list[tuple[str, bytes]], form: int) -> None:
    packed = tarred(*files, form=form)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        expected = []
        for info in archive:
            body = archive.extractfile(info)
            expected.append((info.name.rstrip("/"), body.read() if body else None))
    walked = tar.walk(tar.Unpacked(io.BytesIO(packed), 10**6), lambda name: 10**6)
    assert [(found.name.rstrip("/"), content) for found, content in walked] == expected


def test_an_open_file_gives_no_more_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    with OpenFile(path, 1000, widest=100) as file:
        assert file.size == 1000
        assert file.read(100) == b"x" * 100
        with pytest.raises(Refused):
            file.read(101)
        with pytest.raises(Refused):
            file.read()
        with pytest.raises(OSError, match="Invalid argument"):
            file.seek(-1)
    with pytest.raises(Refused, match="1000 bytes large; at most 999 bytes is taken"):
        OpenFile(path, 999)
