# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of the host, and more modules of the kernel, in the guest: a second archive behind the lab's
own. The guest finds the programs by their names; each brings the host's libraries along."""
import os
import pathlib
import re
import shutil
import subprocess

import lab

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOADER = "ld-linux-x86-64.so.2"


def libraries_of(program):
    told = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return [pathlib.Path(found) for found in re.findall(r"(/\S+)", told)]


class Guest:
    """A lab whose guest has more: what vm.Machine starts."""

    def __init__(self, base, folder, programs, modules, own=(), tree=()):
        """`programs` are names or paths; a missing one is lab.Unavailable. `modules` can be loaded by the
        guest's function of that name. Those in `own` start themselves again: each is a program of
        the guest's own, with its C library. Files and folders of `tree` are where they are here, and
        programs among them are such too."""
        self.vmlinux, self.initramfs = base.vmlinux, folder / "initramfs"
        root = folder / "host-programs"
        for part in ("host/bin", "host/lib", "modules", "usr/bin", "usr/lib/x86_64-linux-gnu"):
            (root / part).mkdir(parents=True)
        for program in own:
            self._add_own(root, program, root / "usr/bin" / pathlib.Path(program).name)
        for path in map(pathlib.Path, tree):
            if not path.exists():
                raise lab.Unavailable(f"no {path} (scripts/install-dependencies test)")
            for file in path.rglob("*") if path.is_dir() else [path]:
                if file.is_file():
                    self._add_own(root, file, root / str(file)[1:])
        for program in programs:
            self._add_program(root, str(program))
        for module in modules:
            lab.add_modules(base.folder, [module], root / "modules", f"{module}.order")
        with open(self.initramfs, "wb") as archive:
            archive.write(base.initramfs.read_bytes())
            archive.flush()
            lab.pack(root, archive)
        shutil.rmtree(root)

    @staticmethod
    def _add_own(root, file, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        for library in libraries_of(file) if os.access(file, os.X_OK) else []:
            if not library.name.startswith(("ld-linux", "libc.so", "libm.so", "libpthread")):
                shutil.copy(library, root / "usr/lib/x86_64-linux-gnu" / library.name)

    @staticmethod
    def _add_program(root, program):
        path = shutil.which(program, path=PATH) if "/" not in program else program
        if path is None or not os.path.exists(path):
            raise lab.Unavailable(f"no {program} (scripts/install-dependencies test)")
        name = pathlib.Path(path).name
        shutil.copy(path, root / "host/bin" / name)
        for library in libraries_of(path):
            target = root / "host/lib" / library.name
            if not target.exists():
                shutil.copy(library, target)
        start = root / "usr/bin" / name
        start.write_text(f'#!/bin/sh\nexec /host/lib/{LOADER} --library-path /host/lib '
                         f'/host/bin/{name} "$@"\n')
        start.chmod(0o755)
