#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes what a virtual machine with a stock kernel of Debian and dm-vdo starts from.

  lab.py DIRECTORY      downloads packages of Debian 12 and its backports, unpacks them there, and
                        makes DIRECTORY/vmlinux and DIRECTORY/initramfs

Nothing is installed or changed outside of DIRECTORY. A second call finds all and does nothing. The kernel is 6.12;
with UVDO_KERNEL_RELEASE=newest it is the newest that Debian 13 has in its backports, in DIRECTORY-newest.

As a module: prepare(directory) returns a Lab, and raises Unavailable if it cannot be had.
"""
import fcntl
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "judge"))
import debian  # noqa: E402

# Where a kernel comes from, and the names of its packages.
KERNELS = {
    "6.12": (debian.BACKPORTS, re.compile(r"linux-image-(6\.12\.[0-9.]+)\+deb12(?:\.([0-9]+))?-cloud-amd64")),
    "newest": ("trixie-backports", re.compile(r"linux-image-([0-9.]+)\+deb13(?:\.([0-9]+))?-cloud-amd64")),
}
RELEASE = os.environ.get("UVDO_KERNEL_RELEASE", "6.12")
BACKPORTS = ["vdo"]
PACKAGES = """busybox-static coreutils dmsetup lvm2 libc6 libdevmapper1.02.1 libdevmapper-event1.02.1 libudev1
  libselinux1 libpcre2-8-0 libblkid1 libaio1 libedit2 libbsd0 libmd0 libtinfo6 libsystemd0 libcap2
  libgcrypt20 libgpg-error0 liblz4-1 liblzma5 libzstd1 libuuid1 zlib1g""".split()
PROGRAMS = ["bin/dd", "sbin/dmsetup", "sbin/lvm", "usr/bin/vdoformat", "usr/bin/vdoforcerebuild",
            "usr/bin/vdoreadonly"]
MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "dm-vdo", "crc32c_generic"]


class Unavailable(Exception):
    """The kernel or its tools cannot be downloaded here."""


class Lab:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.vmlinux, self.initramfs = self.folder / "vmlinux", self.folder / "initramfs"

    @property
    def versions(self):
        """The packages with their versions, a line each."""
        return (self.folder / "versions").read_text()


def newest_kernel(names, pattern):
    found = [(tuple(int(part) for part in match[1].split(".")), int(match[2] or 0), name)
             for name in names if (match := pattern.fullmatch(name))]
    return max(found)[2] if found else None


def fetch(folder):
    """Unpacks all packages into folder/root and the kernel's into folder/kernel."""
    suite, pattern = KERNELS[RELEASE]
    apt = debian.Packages(folder, list(dict.fromkeys(["bookworm", debian.BACKPORTS, suite])))
    kernel = newest_kernel(apt.names("linux-image-"), pattern)
    if kernel is None:
        raise RuntimeError(f"no {RELEASE} kernel in {suite}")
    for part in ("root", "kernel"):
        shutil.rmtree(folder / part, ignore_errors=True)
    wanted = [f"{name}/bookworm" for name in PACKAGES] + [f"{name}/{debian.BACKPORTS}" for name in BACKPORTS]
    # Newer kernels are packaged in two parts.
    parts = [name for part in ("binary", "modules") if (name := kernel.replace("image", part, 1)) in apt.names(name)]
    got = apt.unpack([kernel, *parts], folder / "kernel") + apt.unpack(wanted, folder / "root")
    (folder / "versions").write_text("".join(f"{name}\n" for name in got))


def libraries(root, program):
    """The shared libraries that a program of `root` needs, all of them from there."""
    loader = root / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    path = f"{root}/lib/x86_64-linux-gnu:{root}/usr/lib/x86_64-linux-gnu"
    told = subprocess.run([loader, "--list", "--library-path", path, program],
                          check=True, stdout=subprocess.PIPE, text=True).stdout
    if "not found" in told:
        raise RuntimeError(f"{program} lacks a library: {told}")
    return {pathlib.Path(found) for found in re.findall(r"=> (\S+)", told)} | {loader}


def modules_folder(folder):
    """Where the modules of a lab's kernel are."""
    return next(path for path in (folder / "kernel/lib/modules", folder / "kernel/usr/lib/modules") if path.is_dir())


def with_dependencies(tree, names):
    """Paths of kernel modules and of those that they need, which come first."""
    paths = {path.name.split(".ko")[0].replace("-", "_"): path
             for path in tree.rglob("*.ko*")}
    order = []

    def add(name):
        path = paths.get(name.replace("-", "_"))
        if path is None or path in order:  # None: built into the kernel
            return
        data = lzma.open(path).read() if path.suffix == ".xz" else path.read_bytes()
        for needed in re.search(rb"\0depends=([^\0]*)", data)[1].decode().split(","):
            if needed:
                add(needed)
        order.append(path)
    for name in names:
        add(name)
    return order


def add_modules(folder, names, target, order_file):
    """Copies modules of the kernel, and all that they need, with a file that says in which order they
    are loaded."""
    order = []
    for path in with_dependencies(modules_folder(folder), names):
        name = path.name.removesuffix(".xz")
        data = lzma.open(path).read() if path.suffix == ".xz" else path.read_bytes()
        (target / name).write_bytes(data)
        order.append(name + "\n")
    (target / order_file).write_text("".join(order))


def build_initramfs(folder):
    """Packs the guest's whole file system."""
    source, root = folder / "root", folder / "guest"
    shutil.rmtree(root, ignore_errors=True)
    for part in ("bin dev proc sys tmp run etc/lvm lib/x86_64-linux-gnu lib64 modules usr/bin usr/sbin "
                 "sbin mnt").split():
        (root / part).mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "bin/busybox", root / "bin/busybox")
    for applet in subprocess.run([source / "bin/busybox", "--list"], check=True,
                                 stdout=subprocess.PIPE, text=True).stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    needed = set()
    for program in PROGRAMS:
        target = root / program
        target.unlink(missing_ok=True)
        shutil.copy(source / program, target)
        needed |= libraries(source, source / program)
    for library in needed:
        shutil.copy(library, root / "lib/x86_64-linux-gnu" / library.name)
    (root / "lib64/ld-linux-x86-64.so.2").symlink_to("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    add_modules(folder, MODULES, root / "modules", "order")
    for name in ("init", "vdo.sh", "ublk.sh", "root.sh", "shutdown", "lvm.conf"):
        shutil.copy(HERE / "guest" / name, root / ("etc/lvm" if name == "lvm.conf" else ""))
    for name in ("init", "shutdown"):
        os.chmod(root / name, 0o755)
    with open(folder / "initramfs.new", "wb") as archive:
        pack(root, archive)
    os.replace(folder / "initramfs.new", folder / "initramfs")
    shutil.rmtree(root)


def pack(root, archive):
    """Writes all that is in the folder `root` to the open file `archive`."""
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], check=True, cwd=root,
                   input="\n".join(paths).encode(), stdout=archive)


def extract_vmlinux(folder):
    """The bare ELF kernel of a bzImage: QEMU enters it directly, nothing is unpacked in the guest."""
    image = next((folder / "kernel").glob("**/vmlinuz*")).read_bytes()
    for magic, command in ((b"\x28\xb5\x2f\xfd", ["zstd", "-dcq"]), (b"\xfd7zXZ\0", ["xz", "-dcq"])):
        at = image.find(magic)
        if at >= 0:
            unpacked = subprocess.run(command, input=image[at:], stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL).stdout  # (complains of what follows)
            if unpacked.startswith(b"\x7fELF"):
                (folder / "vmlinux").write_bytes(unpacked)
                return
    raise RuntimeError("no ELF kernel within the package's vmlinuz")


def key():
    """What a lab is made from, as a hash: of this program and of the guest's files."""
    digest = hashlib.sha256()
    for path in [pathlib.Path(__file__), *sorted((HERE / "guest").iterdir())]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def prepare(directory):
    if RELEASE not in KERNELS:
        raise Unavailable(f"UVDO_KERNEL_RELEASE is {RELEASE}, and none of {', '.join(KERNELS)}")
    folder = pathlib.Path(directory).absolute()
    if RELEASE != "6.12":
        folder = folder.with_name(f"{folder.name}-{RELEASE}")
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:  # suites that run side by side share it
        fcntl.flock(lock, fcntl.LOCK_EX)
        made, key_file = folder / "made", folder / "made"
        if made.exists() and key_file.read_text() == key():
            return Lab(folder)
        try:
            if not (folder / "versions").exists():
                fetch(folder)
            build_initramfs(folder)
            extract_vmlinux(folder)
        except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as problem:
            output = getattr(problem, "stdout", None) or b""
            raise Unavailable(f"{problem}\n{output!r}") from problem
        made.write_text(key())
    return Lab(folder)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 1
    try:
        print(prepare(sys.argv[1]).versions, end="")
    except Unavailable as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
