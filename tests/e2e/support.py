# SPDX-License-Identifier: GPL-2.0-or-later
"""What the end-to-end suites share: running uvdo, golden volumes, referees, surgery on images.

Environment: UVDO (the program), UVDO_JUDGES (folder where referees are cached).
"""
import errno
import hashlib
import json
import os
import pathlib
import stat
import struct
import subprocess
import sys
import time
import zlib

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "judge"))
import fetch_vdo  # noqa: E402

BLOCK = 4096
GOLDEN = TESTS / "golden"
UVDO = os.environ.get("UVDO", str(TESTS.parent / "build/uvdo"))
JUDGES = os.environ.get("UVDO_JUDGES", str(TESTS.parent / "build/judge"))


def run(*command, **options):
    """Runs a command; returns its CompletedProcess with text output."""
    options.setdefault("timeout", 300)
    return subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, **options)


def wait_until(condition, seconds=60):
    """Whether the condition has come true within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def uvdo(*arguments, **options):
    return run(UVDO, *arguments, **options)


def parent_of(pid):
    """The process number of a process's parent; 0 if it is gone."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def processes_of(image, names=("uvdo",), command=b"serve"):
    """The servers of a volume; by another name those who keep their memory. A child that has yet to
    become what it was made for looks like its server and is none."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            name = (folder / "comm").read_text().strip()
        except OSError:
            continue
        if command in words and str(image).encode() in words and name in names:
            found.append(int(folder.name))
    return [pid for pid in found if parent_of(pid) not in found]


def tree_digest(root):
    """A digest of names, modes and contents of all files below a folder."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = pathlib.Path(folder) / name
            digest.update(f"{path.relative_to(root)} {path.stat().st_mode:o}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def where_all_may_use_fuse(case, test, folder, timeout):
    """Runs a test (Class.name) of the program again where /dev/fuse is usable by all, as on most machines."""
    if os.environ.get("UVDO_FUSE_FOR_ALL"):
        case.skipTest("/dev/fuse cannot be opened to users here")
    device = folder / "fuse"
    os.mknod(device, stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
    os.chmod(device, 0o666)
    done = run("unshare", "-m", "sh", "-c", f'mount --bind {device} /dev/fuse && exec "$@"', "sh",
               sys.executable, sys.argv[0], test, env={**os.environ, "UVDO_FUSE_FOR_ALL": "1"},
               timeout=timeout)
    if "skipped" in done.stderr:
        case.skipTest("/dev/fuse cannot be opened to users here")
    case.assertEqual(done.returncode, 0, done.stderr)


def judge(command, image, *more):
    """check_image.py, which shares no code with the program."""
    return run(sys.executable, TESTS / "judge/check_image.py", command, image, *more)


def vdo_program(name):
    """A program of Debian's vdo package; None if it cannot be fetched here."""
    folder = fetch_vdo.programs(JUDGES)
    return folder / name if folder else None


def manifest(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def extract(name, folder):
    """Unpacks a golden volume; returns its path."""
    archive = GOLDEN / f"{name}.tar.zst"
    subprocess.run(["tar", "--zstd", "-xSf", archive, "-C", folder], check=True)
    return pathlib.Path(folder) / f"{name}.img"


def data_extents(fd):
    """(start, end) of what is not a hole."""
    end = os.lseek(fd, 0, os.SEEK_END)
    at = 0
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        stop = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, stop
        at = stop


def sha256(path):
    """sha256 of a file; holes cost no reading."""
    digest, zeros, at = hashlib.sha256(), bytes(1 << 20), 0

    def skip(to):
        nonlocal at
        while at < to:
            n = min(len(zeros), to - at)
            digest.update(zeros[:n] if n < len(zeros) else zeros)
            at += n
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        for start, stop in list(data_extents(file.fileno())):
            skip(start)
            while at < stop:
                data = os.pread(file.fileno(), min(1 << 20, stop - at), at)
                digest.update(data)
                at += len(data)
        skip(size)
    return digest.hexdigest()


def fingerprint(path):
    """Tells whether a file has changed; its zeros are neither read nor hashed."""
    digest, zeros = hashlib.sha256(), bytes(1 << 16)
    with open(path, "rb") as file:
        digest.update(os.fstat(file.fileno()).st_size.to_bytes(8, "little"))
        for start, stop in list(data_extents(file.fileno())):
            for at in range(start - start % len(zeros), stop, len(zeros)):
                data = os.pread(file.fileno(), len(zeros), at)
                if data != zeros[:len(data)]:
                    digest.update(at.to_bytes(8, "little") + data)
    return digest.hexdigest()


def sparse_copy(source, target, skip=0):
    """Copies a sparse file from byte `skip` on."""
    with open(source, "rb") as old, open(target, "wb") as new:
        new.truncate(os.fstat(old.fileno()).st_size - skip)
        for start, stop in list(data_extents(old.fileno())):
            at = max(start, skip)
            while at < stop:
                data = os.pread(old.fileno(), min(1 << 20, stop - at), at)
                os.pwrite(new.fileno(), data, at - skip)
                at += len(data)


def read_block(path, number):
    with open(path, "rb") as file:
        return os.pread(file.fileno(), BLOCK, number * BLOCK)


class Surgery:
    """Changes bytes of an image, and puts them back at the end of a `with`."""

    def __init__(self, path):
        self.path, self.undo = path, []

    def write(self, offset, data):
        with open(self.path, "r+b") as file:
            self.undo.append((offset, os.pread(file.fileno(), len(data), offset)))
            os.pwrite(file.fileno(), data, offset)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with open(self.path, "r+b") as file:
            for offset, data in reversed(self.undo):
                os.pwrite(file.fileno(), data, offset)


def checksum(data):
    return struct.pack("<I", zlib.crc32(data, 0xFFFFFFFF))


def geometry_fields(block):
    """The fields of a geometry block of version 5.0 that surgery needs."""
    names = ("unused nonce uuid bio_offset id0 index_start id1 data_start memory zero sparse")
    return dict(zip(names.split(), struct.unpack_from("<IQ16sQIQIQIIB", block, 28)))


def geometry_block(fields, version=5):
    """Encodes a geometry block."""
    size = 101 if version == 5 else 93
    data = b"dmvdo001" + struct.pack("<IIIQ", 5, version, 0, size)
    data += struct.pack("<IQ16s", fields["unused"], fields["nonce"], fields["uuid"])
    if version == 5:
        data += struct.pack("<Q", fields["bio_offset"])
    data += struct.pack("<IQIQIIB", fields["id0"], fields["index_start"], fields["id1"],
                        fields["data_start"], fields["memory"], fields["zero"], fields["sparse"])
    return (data + checksum(data)).ljust(BLOCK, b"\0")


def without_identity(geometry, super_block):
    """Geometry and super block with nonce, UUID and checksums blanked, to compare two formats."""
    geometry, super_block = bytearray(geometry), bytearray(super_block)
    geometry[32:56] = bytes(24)
    geometry[97:101] = bytes(4)
    super_block[100:108] = bytes(8)
    super_block[434:438] = bytes(4)
    return bytes(geometry), bytes(super_block)


def kernel_statistics(message):
    """The top-level numbers of a kernel's `stats` message."""
    result, depth = {}, 0
    words = message.split()
    for at, word in enumerate(words):
        depth += (word == "{") - word.startswith("}")
        if word == ":" and depth == 1 and words[at + 1].rstrip(",").isdigit():
            result[words[at - 1]] = int(words[at + 1].rstrip(","))
    return result
