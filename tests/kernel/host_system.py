# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk with a part of the host's system: packages that are installed here, with all that they depend on.
A guest mounts it and runs programs there that need more than themselves: interpreters, compilers, databases."""
import os
import pathlib
import re
import shutil
import subprocess

import lab

LINKS_OF_ROOT = ["bin", "sbin", "lib", "lib64"]
SETTINGS = ["passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"]
NOT_NEEDED = re.compile(r"/usr/share/(doc|man|locale|info|lintian|bug|icons|zoneinfo)/")
ALTERNATIVES = pathlib.Path("/etc/alternatives")
ROW = "${db:Status-Abbrev}\t${Package}\t${Depends}, ${Pre-Depends}\t${Provides}\n"
FREE_MEGABYTES = 128        # of the disk, for what the guest changes
BYTES_OF_A_FILE = 4096      # at most, beside its content: a part of a block, an inode


def ask_dpkg(*words):
    return subprocess.run(["dpkg-query", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def with_dependencies(packages):
    """Those packages and all that they need, of what is installed."""
    needs, offers = {}, {}
    for line in ask_dpkg("-W", "-f", ROW).splitlines():
        status, name, depends, provides = line.split("\t")
        if not status.startswith("ii"):
            continue
        needs[name] = names_in(depends)
        for offered in [name, *names_in(provides)]:
            offers.setdefault(offered, name)
    found, ahead = set(), list(packages)
    for name in packages:
        if name not in needs:
            raise lab.Unavailable(f"{name} is not installed (scripts/install-dependencies devices)")
    while ahead:
        name = offers.get(ahead.pop())
        if name and name not in found:
            found.add(name)
            ahead += needs[name]
    return sorted(found)


def names_in(relations):
    return re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)", relations)


def files_of(packages):
    """Paths, with the links of / resolved, of all that the packages have put here."""
    found = set()
    for line in ask_dpkg("-L", *packages).splitlines():
        path = pathlib.Path(line)
        if line.startswith(("/usr/", "/bin/", "/sbin/", "/lib")) and not NOT_NEEDED.match(line):
            real = pathlib.Path(os.path.realpath(path.parent)) / path.name
            if real.is_symlink() or real.is_file():
                found.add(real)
    for link in ALTERNATIVES.iterdir():
        if pathlib.Path(os.path.realpath(link)) in found:
            found.add(link)
    for folder in (pathlib.Path("/usr/bin"), pathlib.Path("/usr/sbin")):
        found |= {path for path in folder.iterdir()
                  if path.is_symlink() and pathlib.Path(os.readlink(path)) in found}
    return found


def make_disk(image, folder, packages, more):
    """Writes an ext4 with the packages to `image`; `folder` is used meanwhile. `more` are pairs of a
    file or folder of the host's and its path there. A missing package is lab.Unavailable."""
    root = folder / "host-system"
    for part in "dev proc sys tmp run root var/tmp etc".split():
        (root / part).mkdir(parents=True, exist_ok=True)
    for name in LINKS_OF_ROOT:
        if os.path.islink(f"/{name}"):
            (root / name).symlink_to(os.readlink(f"/{name}"))
    paths = files_of(with_dependencies(packages)) | {pathlib.Path("/etc", name) for name in SETTINGS}
    listed = "".join(f"{str(path)[1:]}\n" for path in sorted(paths) if path.exists() or path.is_symlink())
    archive = subprocess.Popen(["tar", "-C", "/", "-cf", "-", "-T", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    unpacked = subprocess.Popen(["tar", "-C", root, "-xf", "-"], stdin=archive.stdout)
    archive.stdout.close()
    archive.stdin.write(listed.encode())
    archive.stdin.close()
    if archive.wait() != 0 or unpacked.wait() != 0:
        raise lab.Unavailable("the host's system cannot be copied")
    for source, target in more:
        target = root / str(target)[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        if pathlib.Path(source).is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    size = sum(path.lstat().st_size + BYTES_OF_A_FILE for path in root.rglob("*")) // (1 << 20) * 11 // 10 + FREE_MEGABYTES
    make_empty_disk(image, size, "-d", root)
    shutil.rmtree(root)


def make_empty_disk(image, megabytes, *options):
    """Writes a sparse ext4 of that size."""
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "root_owner=0:0", *map(str, options), image], check=True)
