#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""estimate: what it foretells is what storing the same data takes."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import time
import unittest

from served import MIB, Served
from support import BLOCK, UVDO, run, uvdo, wait_until


def noise(rng, blocks):
    return rng.randbytes(blocks * BLOCK)


def text(rng, blocks):
    """Blocks that shrink to a tenth up to nine tenths."""
    made = bytearray()
    for _ in range(blocks):
        random_part = rng.randrange(300, 3700)
        made += rng.randbytes(random_part) + b"a" * (BLOCK - random_part)
    return bytes(made)


def estimate(*arguments, status=0, **options):
    told = uvdo("estimate", "--json", *arguments, **options)
    assert told.returncode == status, (told.returncode, told.stdout, told.stderr)
    return json.loads(told.stdout)


def remove_lock_files(socket):
    """What a server of a volume behind an NBD URI leaves: files named after a hash of its key (FNV-1a)."""
    value = 0xCBF29CE484222325
    for byte in f"nbd:unix:{socket}/".encode():
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    folder = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/nowhere")
    for left in pathlib.Path(folder, "uvdo").glob(f"store-{value:016x}*"):
        left.unlink(missing_ok=True)


class StoredTest(Served):
    """Each estimate against a volume that holds the same."""
    LOGICAL = 256 * MIB

    def stored_blocks(self, parts):
        """Physical blocks that data take which are written a part after the other."""
        self.serve()
        self.wait_for_index()
        client, at = self.connect(), 0
        for part in parts:
            for i in range(0, len(part), MIB):
                client.pwrite(part[i:i + MIB], at + i)
            at += len(part)
            # A block whose twin is on its way as well waits for no company in the packer, and a
            # server has a lot on its way at once: twins in other parts are stored by then.
            client.flush()
        client.shutdown()
        stored = self.stats()["dataBlocksUsed"]
        self.stop()
        return stored

    def compare(self, *parts, within=0.02):
        path = self.folder / "data.img"
        path.write_bytes(b"".join(parts))
        found = estimate(path)
        stored = self.stored_blocks(parts)
        self.assertAlmostEqual(found["storedBlocks"], stored, delta=max(2, within * stored))
        self.assertEqual(found["dataBlocks"], path.stat().st_size // BLOCK)
        return found

    def test_noise_zeros_and_text(self):
        rng = random.Random(1)
        content = noise(rng, 2000) + bytes(BLOCK * 1000) + text(rng, 6000)
        found = self.compare(content)
        self.assertEqual(found["zeroBlocks"], 1000)
        self.assertEqual(found["compressedFragments"] + found["uncompressedBlocks"], 8000)
        self.assertGreater(found["compressedBlocks"], 1000)

    def test_duplicates_of_noise(self):
        rng = random.Random(2)
        once = noise(rng, 3000)
        found = self.compare(once, noise(rng, 1000), once)
        self.assertEqual(found["duplicateBlocks"], 3000)
        self.assertEqual(found["storedBlocks"], 4000)

    def test_a_block_is_shared_254_times_at_most(self):
        rng = random.Random(3)
        found = self.compare(noise(rng, 1) * 2000 + noise(rng, 500))
        self.assertEqual(found["storedBlocks"], 508, "2000 references need eight copies")

    def test_duplicates_of_text(self):
        rng = random.Random(4)
        once = text(rng, 3000)
        blocks = [once[i:i + BLOCK] for i in range(0, len(once), BLOCK)]
        rng.shuffle(blocks)
        found = self.compare(once, text(rng, 3000), b"".join(blocks))
        self.assertGreater(found["duplicateBlocks"], 2900)

    def test_fragments_share_the_count_of_their_block(self):
        rng = random.Random(5)
        kinds = [text(rng, 1) for _ in range(100)]
        again = b"".join(rng.choice(kinds) for _ in range(20000))
        # How full a block is when its next copy begins is a matter of who writes when; without the limit it were
        # a tenth of them.
        found = self.compare(b"".join(kinds), again, within=0.4)
        self.assertGreater(found["storedBlocks"], 20000 // 254)


class PathTest(unittest.TestCase):
    """What a path may be, and how it is read."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-estimate."))
        self.addCleanup(shutil.rmtree, self.folder)
        self.rng = random.Random(7)

    def export(self, *words):
        """The URI of an NBD server with those arguments of nbdkit."""
        socket = self.folder / f"socket{len(list(self.folder.glob('socket*')))}"
        server = subprocess.Popen(["nbdkit", "-f", "-U", socket, *words], stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        self.assertTrue(wait_until(socket.exists))
        return f"nbd+unix:///?socket={socket}"

    def file(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def test_files_of_a_folder_end_with_zeros_and_links_count_once(self):
        first = self.file("tree/a/first", noise(self.rng, 2) + b"tail")
        self.file("tree/a/same-tail", b"tail")
        self.file("tree/b/empty", b"")
        os.link(first, self.folder / "tree/b/second-name")
        os.symlink("/etc/passwd", self.folder / "tree/b/link")
        os.mkfifo(self.folder / "tree/b/pipe")
        found = estimate(self.folder / "tree")
        self.assertEqual(found["files"], 3)
        self.assertEqual(found["fileBytes"], 2 * BLOCK + 4 + 4)
        self.assertEqual(found["dataBlocks"], 4)
        self.assertEqual(found["duplicateBlocks"], 1, "a tail and zeros are a block like others")

    def test_holes_are_skipped(self):
        path = self.folder / "sparse"
        with open(path, "wb") as file:
            file.truncate(1 << 40)
            file.seek(1 << 39)
            file.write(noise(self.rng, 100))
        found = estimate(path)
        self.assertEqual(found["storedBlocks"], 100)
        self.assertEqual(found["dataBlocks"] + found["holeBlocks"], (1 << 40) // BLOCK)
        self.assertLess(found["dataBlocks"], 1000)
        self.assertEqual(found["recommendation"]["logicalBytes"], 1 << 40)

    def test_by_folder_and_by_file(self):
        self.file("tree/a/deep/one", noise(self.rng, 5))
        self.file("tree/a/two", noise(self.rng, 6))
        self.file("tree/top", noise(self.rng, 7))
        found = estimate("--by", "folder", self.folder / "tree")
        told = {pathlib.Path(g["name"]).name: g["storedBytes"] // BLOCK for g in found["groups"]}
        self.assertEqual(told, {"a": 11, "tree": 7})
        found = estimate("--by", "file", self.folder / "tree")
        told = {pathlib.Path(g["name"]).name: g["storedBytes"] // BLOCK for g in found["groups"]}
        self.assertEqual(told, {"one": 5, "two": 6, "top": 7})
        words = uvdo("estimate", "--by", "file", "--limit", "1", self.folder / "tree")
        self.assertIn("tree/top", words.stdout)
        self.assertIn("2 more", words.stdout)

    def test_an_index_forgets(self):
        """One that remembers everything finds more than one of 0.25 GB, if there is so much."""
        path = self.file("data", noise(self.rng, 10) * 2)
        self.assertEqual(estimate("--index-memory", "0.25", path)["duplicateBlocks"], 10)
        self.assertEqual(estimate(path)["recommendation"]["indexMemory"], "0.25")

    def test_no_compression(self):
        path = self.file("data", text(self.rng, 50))
        self.assertEqual(estimate("--no-compression", path)["storedBlocks"], 50)

    def test_margins_hold(self):
        """Nineteen of twenty samples may be no further off than they say."""
        once = noise(self.rng, 6000) + text(self.rng, 6000)
        path = self.file("data", once + once[::-1] + once)
        whole = estimate(path)["storedBytes"]
        good = 0
        for share in (2, 3, 4, 5, 7, 10, 15, 20, 30, 50):
            found = estimate("--sample", f"{share}%", path)
            self.assertAlmostEqual(found["sampledShare"], share / 100)
            self.assertGreater(found["marginBytes"], 0)
            self.assertLess(found["marginBytes"], whole / 4)
            good += abs(found["storedBytes"] - whole) <= found["marginBytes"]
        self.assertGreaterEqual(good, 9)

    def test_margins_hold_on_files_of_this_machine(self):
        """Neighbours are alike there: pages, then programs. One in twenty samples may miss, and samples of one
        corpus miss together: it is bounded by how many, and by how much."""
        path = self.folder / "data.img"
        with open(path, "wb") as image:
            for top in ("/usr/share/doc", "/usr/bin", "/usr/lib"):
                left = 70 * MIB
                for file in sorted(p for p in pathlib.Path(top).rglob("*")
                                   if p.is_file() and not p.is_symlink()):
                    if left <= 0:
                        break
                    content = file.read_bytes()[:left]
                    image.write(content + bytes(-len(content) % BLOCK))
                    left -= len(content)
        whole = estimate("--threads", "1", path)["storedBytes"]
        missed = []
        for share in (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 70):
            found = estimate("--threads", "1", "--sample", f"{share}%", path)
            off = found["storedBytes"] - whole
            if abs(off) > found["marginBytes"]:
                missed.append((share, off, found["marginBytes"]))
            if share >= 20:
                self.assertLess(found["marginBytes"], whole / 10)
        self.assertLessEqual(len(missed), 4, (whole, missed))
        for share, off, margin in missed:
            self.assertLessEqual(abs(off), 2 * margin, (share, whole))
        room = self.folder / "room"
        with open(room, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 4 << 30)
        found = estimate("--threads", "1", "--memory", "16M", path, room)
        self.assertLess(found["namesShare"], 1)
        self.assertLess(found["marginBytes"], whole / 10)
        self.assertAlmostEqual(found["storedBytes"], whole, delta=2 * found["marginBytes"])

    def test_names_that_do_not_fit_into_the_memory_make_a_sample(self):
        """The names of 4 GiB do not fit into 16 MiB, and what fits is a sample."""
        path = self.folder / "sparse"
        with open(path, "wb") as file:
            # Room without data: nothing to be read, but names are expected.
            os.posix_fallocate(file.fileno(), 0, 4 << 30)
            file.write(noise(self.rng, 20000))
        found = estimate(path, "--memory", "16M")
        self.assertLess(found["namesShare"], 1)
        self.assertAlmostEqual(found["storedBytes"], 20000 * BLOCK,
                               delta=2 * found["marginBytes"])

    def test_unreadable_files_are_told_and_counted(self):
        self.file("tree/good", noise(self.rng, 3))
        secret = self.file("tree/secret", noise(self.rng, 3))
        secret.chmod(0)
        shutil.copy(UVDO, self.folder / "uvdo")
        self.folder.chmod(0o755)
        command = [self.folder / "uvdo", "estimate", "--json", self.folder / "tree"]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        told = run(*command)
        self.assertEqual(told.returncode, 1, told.stderr)
        self.assertIn("secret: Permission denied", told.stderr)
        found = json.loads(told.stdout)
        self.assertEqual((found["problems"], found["storedBlocks"]), (1, 3))
        self.assertEqual(found["error"]["code"], "io")

    def test_wrong_arguments(self):
        path = self.file("data", b"x")
        for words in (["--sample", "0"], ["--sample", "101%"], ["--sample", "x"],
                      ["--memory", "1M"], ["--by", "day"], ["--index-memory", "7.5"],
                      ["--sparse"], ["--by", "file", "--sample", "50%"], []):
            told = uvdo("estimate", *words, *([path] if words else []))
            self.assertEqual(told.returncode, 2, (words, told.stdout, told.stderr))
        missing = uvdo("estimate", self.folder / "none")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("No such file", missing.stderr)
        self.assertIn("neither a file", uvdo("estimate", "/dev/null").stderr)

    def test_qcow2_and_nbd(self):
        raw = self.file("data", noise(self.rng, 300) + bytes(200 * BLOCK))
        image = self.folder / "data.qcow2"
        made = run("qemu-img", "convert", "-O", "qcow2", raw, image)
        self.assertEqual(made.returncode, 0, made.stderr)
        found = estimate(image)
        self.assertEqual((found["storedBlocks"], found["fileBytes"]), (300, 500 * BLOCK))
        self.assertGreater(estimate("--raw", image)["storedBlocks"], 300)
        uri = self.export("file", raw)
        found = estimate(uri)
        self.assertEqual((found["storedBlocks"], found["zeroBlocks"]), (300, 200))
        capitals = uvdo("estimate", uri.replace("nbd+unix", "NBD+UNIX"))
        self.assertNotIn("No such file", capitals.stderr, "a URI is no path, however it is written")
        gone = uvdo("estimate", f"{uri}.none")
        self.assertEqual(gone.returncode, 1)
        self.assertIn("no NBD server listens there", gone.stderr)
        self.assertIn("cannot be read", uvdo("estimate", "--raw", f"{uri}.none").stderr)

    def test_an_error_of_one_path_ends_all(self):
        bad = self.export("eval", "get_size=echo 1048576", "pread=echo EIO broken >&2; exit 1")
        slow = self.export("--filter=rate", "pattern", "size=100M", "rate=16M")
        started = time.monotonic()
        told = uvdo("estimate", "--raw", "--threads", 2, bad, slow)
        self.assertEqual(told.returncode, 1)
        self.assertIn("reading nbd+unix", told.stderr)
        self.assertLess(time.monotonic() - started, 25, "not the 50 s that the other one takes")

    def test_a_block_that_cannot_be_read_is_left_out(self):
        """It is no zero block, and costs no others."""
        content = self.file("content", noise(self.rng, 100) + bytes(100 * BLOCK))
        bad = 123 * BLOCK
        uri = self.export(
            "eval", f"get_size=echo {200 * BLOCK}",
            f"pread=if [ $4 -le {bad} ] && [ $(($3 + $4)) -gt {bad} ]; then echo EIO >&2; exit 1; fi; "
            f"dd if={content} iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=1M status=none")
        path = self.file("mount/disk", b"")
        mounted = subprocess.Popen(["nbdfuse", path, uri], stderr=subprocess.DEVNULL)
        self.addCleanup(mounted.wait)
        self.addCleanup(run, "fusermount3", "-u", path)
        self.assertTrue(wait_until(lambda: path.stat().st_size > 0))
        told = uvdo("estimate", "--json", path)
        self.assertEqual(told.returncode, 1, told.stderr)
        self.assertIn(f"Input/output error: {BLOCK} bytes at {bad} are left out", told.stderr)
        found = json.loads(told.stdout)
        self.assertEqual((found["dataBlocks"], found["zeroBlocks"], found["storedBlocks"]), (199, 99, 100))

    def mount(self, *make):
        """A file system of its own, in a file."""
        image, place = self.folder / "fs.img", self.folder / "fs"
        place.mkdir()
        with open(image, "wb") as file:
            file.truncate(1 << 30)
        made = run(*make, image)
        self.assertEqual(made.returncode, 0, made.stderr)
        mounted = run("mount", "-o", "loop", image, place)
        if mounted.returncode != 0:
            self.skipTest(mounted.stderr)
        self.addCleanup(run, "umount", place)
        return place

    def test_holes_smaller_than_a_block(self):
        """One before the first data of a file does not make data of all that follow."""
        place = self.mount("mkfs.ext4", "-q", "-b", "1024")
        with open(place / "sparse", "wb") as file:
            for at in (1024, 1 << 30):
                file.seek(at)
                file.write(self.rng.randbytes(1024))
        found = estimate(place / "sparse")
        self.assertEqual((found["dataBlocks"], found["zeroBlocks"]), (2, 0))

    def test_missing_programs_are_named(self):
        image = self.file("data.qcow2", b"QFI\xfb" + bytes(100))
        for words, package in (([image], "qemu-utils"), (["--raw", "nbd://localhost:1"], "libnbd-bin")):
            told = uvdo("estimate", *words, env={"PATH": str(self.folder)})
            self.assertEqual(told.returncode, 1)
            self.assertIn(f"install {package}", told.stderr)


class VolumeTest(Served):
    def test_a_volume_is_known(self):
        rng = random.Random(8)
        once = noise(rng, 500)
        self.serve()
        self.write(0, once + once)
        busy = uvdo("estimate", self.image)
        self.assertEqual(busy.returncode, 1)
        self.stop()
        told = uvdo("estimate", "--json", self.image)
        self.assertIn("is a VDO volume: its contents are estimated; --raw", told.stderr)
        found = json.loads(told.stdout)
        self.assertEqual((found["storedBlocks"], found["duplicateBlocks"]), (500, 500))
        self.assertEqual(found["fileBytes"], self.LOGICAL)
        raw = uvdo("estimate", "--raw", "--json", self.image)
        self.assertEqual(raw.stderr, "")
        self.assertGreater(json.loads(raw.stdout)["storedBlocks"], 500)

    def test_a_volume_behind_a_uri_is_known(self):
        """Served or stopped: its bytes are not taken for data."""
        once = noise(random.Random(9), 500)
        self.serve()
        self.write(0, once + once)
        self.stop()
        socket = self.folder / "store"
        store = subprocess.Popen(["nbdkit", "-f", "-U", socket, "file", self.image])
        self.addCleanup(store.wait)
        self.addCleanup(store.terminate)
        self.assertTrue(wait_until(socket.exists))
        self.image = f"nbd+unix:///?socket={socket}"
        self.addCleanup(remove_lock_files, socket)
        told = uvdo("estimate", "--json", self.image)
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn("is a VDO volume: its contents are estimated; --raw", told.stderr)
        found = json.loads(told.stdout)
        self.assertEqual((found["storedBlocks"], found["duplicateBlocks"]), (500, 500))
        self.serve()
        busy = uvdo("estimate", self.image)
        self.assertEqual(busy.returncode, 1, busy.stdout)
        self.stop()


if __name__ == "__main__":
    unittest.main()
