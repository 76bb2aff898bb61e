# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done in a place (places.py). Each operation returns what has failed, a list of lines without
what differs from run to run; None if this kernel or file system has not what it tries."""
import pathlib
import random
import re
import shutil
import subprocess
import sys
import unittest

from places import MIB, must, run, tree_digest
from remembered_device import RememberedDevice

# The file system stressors of stress-ng 0.15, with what bounds the room that each takes.
STRESSORS = {
    "access": "", "aio": "", "aiol": "", "chdir": "--chdir-dirs 256", "chmod": "", "chown": "",
    "copy-file": "--copy-file-bytes 128M", "dentry": "--dentries 512", "dir": "--dir-dirs 1024",
    "dirdeep": "--dirdeep-inodes 4096", "dirmany": "", "fallocate": "--fallocate-bytes 128M",
    "fault": "", "fcntl": "", "fiemap": "--fiemap-bytes 64M", "filename": "", "flock": "",
    "fpunch": "", "fsize": "", "fstat": "", "getdent": "", "hdd": "--hdd-bytes 64M",
    "inode-flags": "", "io": "", "iomix": "--iomix-bytes 64M", "lease": "", "link": "",
    "locka": "", "lockf": "", "lockofd": "", "mknod": "", "mmap": "--mmap-bytes 32M --mmap-file",
    "msync": "--msync-bytes 32M", "open": "", "readahead": "--readahead-bytes 64M", "rename": "",
    "revio": "--revio-bytes 64M", "seek": "--seek-size 64M", "sendfile": "--sendfile-size 4M",
    "splice": "", "symlink": "", "sync-file": "--sync-file-bytes 64M", "touch": "", "utime": "",
    "xattr": "",
}
DIRECT = {"hdd-direct": "--hdd-bytes 64M --hdd-opts direct,rd-rnd,wr-rnd",
          "hdd-dsync": "--hdd-bytes 16M --hdd-opts dsync,wr-seq,rd-seq",
          "hdd-fsync": "--hdd-bytes 16M --hdd-opts fsync,wr-rnd,rd-rnd"}


def stress(place, stressor, options, seconds):
    # It says in words what failed, and with --verify looks at what it reads.
    folder = place.mount / "stress"
    folder.mkdir(exist_ok=True)
    done = run("stress-ng", "--temp-path", folder, "--verify", f"--{stressor}", 2, "--timeout", seconds,
               *options.split(), timeout=120 + 20 * seconds)
    left = [path.name for path in folder.iterdir()]
    shutil.rmtree(folder)
    said = done.stdout + done.stderr
    if done.returncode == 1:
        sys.exit(f"stress-ng does not take these options: {said.strip()}")
    failures = {re.sub(r"\d+", "N", line.split("]", 1)[-1].strip())
                for line in said.splitlines() if "stress-ng: fail:" in line}
    if done.returncode in (3, 4) or "skipping stress" in said:
        return None if not failures else sorted(failures)
    if done.returncode != 0 and not failures:
        failures = {f"status {done.returncode}: {said.strip().splitlines()[-1]}"}
    if left:
        failures.add("files are left behind")
    return sorted(failures)


def dbench(place, options, seconds):
    folder = place.mount / "dbench"
    folder.mkdir()
    done = run("dbench", "-D", folder, "-t", seconds, *options.split(), 4, timeout=120 + 20 * seconds)
    shutil.rmtree(folder)
    if done.returncode == 0 and "Throughput" in done.stdout:
        return []
    return [f"status {done.returncode}"] + [
        re.sub(r"\d+", "N", line) for line in (done.stdout + done.stderr).splitlines()
        if "fail" in line.lower() or "error" in line.lower()]


def fio(place, *arguments, target=None):
    where = f"--filename={target}" if target else f"--directory={place.mount}"
    done = run("fio", "--name=verify", where, "--verify=crc32c", "--verify_fatal=1",
               "--verify_state_save=0", "--randrepeat=1", "--allrandrepeat=1",
               "--output-format=terse", *arguments, timeout=900)
    for file in place.mount.glob("verify.*"):
        file.unlink()
    return [] if done.returncode == 0 else [f"status {done.returncode}: {done.stderr.strip()[:200]}"]


def fio_with_trims(place, scale):
    """Files that are verified while others come and go, and fstrim gives their room back."""
    trimmer = subprocess.Popen(["sh", "-c", f'while :; do head -c 8M /dev/urandom >"$1/gone"; '
                                'sync -f "$1/gone"; rm "$1/gone"; fstrim "$1" || exit 1; sleep 0.2; done',
                                "sh", str(place.mount)], stdout=subprocess.DEVNULL)
    failures = fio(place, "--size=48m", "--numjobs=2", "--ioengine=libaio", "--direct=1",
                   "--iodepth=64", "--rw=randwrite", "--bsrange=4k-4m", f"--loops={scale}")
    failures += fio(place, "--size=16m", "--numjobs=2", "--ioengine=psync", "--rw=randwrite",
                    "--bsrange=512-256k", "--fsync=8", f"--loops={scale}")
    if trimmer.poll() is not None:
        failures.append(f"fstrim has ended with {trimmer.returncode}")
    trimmer.terminate()
    trimmer.wait()
    (place.mount / "gone").unlink(missing_ok=True)
    return failures


def fsync_storm(place, scale):
    failures = []
    for rate in ("--fsync=1", "--fdatasync=1", "--sync=1"):
        failures += fio(place, "--size=1m", "--numjobs=8", "--ioengine=psync", "--rw=randwrite",
                        "--bsrange=512-16k", rate, f"--loops={scale}")
    return failures


def unpack_compile_delete(place, scale):
    """Trees unpacked, copied, renamed and deleted, a program built, and all of it still right when the
    file system was mounted anew."""
    library = pathlib.Path(unittest.__file__).parent.parent
    archive = place.folder / "tree.tar"
    must("tar", "-cf", archive, "--exclude=__pycache__", "-C", library, "asyncio", "email", "encodings",
         "json", "unittest", "xml", "ctypes", "importlib")
    failures, top = [], place.mount / "trees"
    top.mkdir()
    trees = []
    for number in range(3 * scale):
        tree = top / f"t{number}"
        tree.mkdir()
        must("tar", "-xf", archive, "-C", tree)
        trees.append(tree)
    expected = tree_digest(trees[0])
    must("cp", "-a", trees[0], top / "copy")
    trees[1].rename(top / "renamed")
    shutil.rmtree(trees[2])
    must("fstrim", place.mount)
    project, numbers = top / "project", list(range(1, 40))
    project.mkdir()
    for number in numbers:
        (project / f"f{number}.c").write_text(f"unsigned f{number}(void) {{ return {number}u; }}\n")
    (project / "main.c").write_text(
        "#include <stdio.h>\n" + "".join(f"unsigned f{n}(void);\n" for n in numbers) +
        "int main(void) { printf(\"%u\", " + "+".join(f"f{n}()" for n in numbers) + "); return 0; }\n")
    must("sh", "-c", "cc -c *.c && cc -o program *.o", cwd=project)
    place.unmount()
    if wrong := place.check():
        failures.append(f"fsck: {wrong}")
    place.mount_it()
    for tree in (trees[0], top / "copy", top / "renamed"):
        if tree_digest(tree) != expected:
            failures.append(f"{tree.name} is not what was unpacked")
    if must(project / "program") != str(sum(numbers)):
        failures.append("the program computes something else")
    shutil.rmtree(top)
    archive.unlink()
    return failures


def fill_and_empty(place, scale):
    """Until there is no room, twice; then all is deleted, and there is room again."""
    failures, noise = [], random.Random(12)
    for _ in range(scale):
        written = []
        try:
            for number in range(100_000):
                path = place.mount / f"fill{number}"
                with open(path, "wb") as file:
                    written.append(path)
                    file.write(noise.randbytes(8 * MIB))
        except OSError as error:
            if error.errno != 28:
                failures.append(f"not 'no space left', but {error.strerror}")
        must("sync", "-f", place.mount)
        for path in written:
            path.unlink()
        must("sync", "-f", place.mount)
        must("fstrim", place.mount)
    again = place.mount / "again"
    again.write_bytes(bytes(range(256)) * 4096 * 16)
    again.unlink()
    return failures


# ---- on the device itself, with no file system

def raw_fio(place, scale):
    failures = []
    for depth in (1, 8, 128):
        for rw in ("randwrite", "randtrimwrite", "write"):
            failures += fio(place, "--size=64m", "--ioengine=libaio", "--direct=1",
                            f"--iodepth={depth}", f"--rw={rw}", "--bsrange=512-4m",
                            f"--loops={scale}", target=place.device)
    return failures


def raw_remembered(place, scale):
    failures = []
    for depth in (1, 16, 128):
        with RememberedDevice(place.device, 256 * MIB, depth, seed=depth) as remembered:
            failures += remembered.use((300 + 30 * depth) * scale)
    return failures


def raw_discards(place, _scale):
    """blkdiscard and blkdiscard -z of the whole device leave zeroes."""
    failures = []
    for options in ([], ["-z"]):
        must("dd", "if=/dev/urandom", f"of={place.device}", "bs=1M", "count=64", "oflag=direct")
        must("blkdiscard", "-f", *options, place.device)
        done = run("cmp", "-n", 256 * MIB, place.device, "/dev/zero")
        if done.returncode != 0:
            failures.append(f"blkdiscard {' '.join(options)}: {done.stdout}{done.stderr}")
    return failures


def on_the_device(scale):
    return {"fio, all sizes, depths, trims": lambda place: raw_fio(place, scale),
            "remembered writes, discards, zeroes": lambda place: raw_remembered(place, scale),
            "blkdiscard, blkdiscard -z": lambda place: raw_discards(place, scale)}


def on_a_file_system(seconds, scale):
    """Name to operation."""
    found = {}
    for stressor, options in STRESSORS.items():
        found[f"stress-ng {stressor}"] = (
            lambda place, s=stressor, o=options: stress(place, s, o, seconds))
    for name, options in DIRECT.items():
        found[f"stress-ng {name}"] = lambda place, o=options: stress(place, "hdd", o, seconds)
    for options in ("", "-s", "-F"):
        found[f"dbench {options}".strip()] = lambda place, o=options: dbench(place, o, 2 * seconds)
    found["fio verify with fstrim"] = lambda place: fio_with_trims(place, scale)
    found["fio fsync storm"] = lambda place: fsync_storm(place, scale)
    found["unpack, compile, delete"] = lambda place: unpack_compile_delete(place, scale)
    found["fill until it is full"] = lambda place: fill_and_empty(place, scale)
    return found
