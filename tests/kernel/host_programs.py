# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of the host, and more modules of the kernel, in the guest: a second archive behind the lab's
own. The guest finds the programs by their names; each brings the host's libraries along."""
import lzma
import os
import pathlib
import re
import shutil
import subprocess

import lab

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOADER = "ld-linux-x86-64.so.2"


def libraries_of(program):
    told = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True).stdout
    return [pathlib.Path(found) for found in re.findall(r"(/\S+)", told)]


class Guest:
    """A lab whose guest has more: what vm.Machine starts."""

    def __init__(self, base, folder, programs, modules, own=()):
        """`programs` are names or paths; a missing one is lab.Unavailable. load(module) of those in
        `modules` is a command of the guest. Those in `own` start themselves again: each is a program of
        the guest's own, with its C library."""
        self.vmlinux, self.initramfs = base.vmlinux, folder / "initramfs"
        root = folder / "host-programs"
        for part in ("host/bin", "host/lib", "host/modules", "usr/bin", "usr/lib/x86_64-linux-gnu"):
            (root / part).mkdir(parents=True)
        for program in map(pathlib.Path, own):
            shutil.copy(program, root / "usr/bin" / program.name)
            for library in libraries_of(program):
                if not library.name.startswith(("ld-linux", "libc.so", "libm.so", "libpthread")):
                    shutil.copy(library, root / "usr/lib/x86_64-linux-gnu" / library.name)
        for program in programs:
            self._add_program(root, str(program))
        self.orders = {name: self._add_module(root, base, name) for name in modules}
        paths = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
        more = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], check=True, cwd=root,
                              input=paths.encode(), stdout=subprocess.PIPE).stdout
        self.initramfs.write_bytes(base.initramfs.read_bytes() + more)
        shutil.rmtree(root)

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

    @staticmethod
    def _add_module(root, base, name):
        """The files to load for a module, what it needs first."""
        order = []
        for path in lab.with_dependencies(base.folder / "kernel/lib/modules", [name]):
            file = path.name.removesuffix(".xz")
            data = lzma.open(path).read() if path.suffix == ".xz" else path.read_bytes()
            (root / "host/modules" / file).write_bytes(data)
            order.append(file)
        return order

    def load(self, module, options=""):
        """The command that loads a module, unless it is built in or loaded."""
        return "; ".join(f"grep -q '^{name.removesuffix('.ko').replace('-', '_')} ' /proc/modules || "
                         f"insmod /host/modules/{name} {options if name == self.orders[module][-1] else ''}"
                         for name in self.orders[module]) or "true"
