# SPDX-License-Identifier: GPL-2.0-or-later
"""A small Debian 12 on the image of a disk, with packages of ours, and how it is started."""
import hashlib
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "kernel"), str(HERE.parent / "judge")]
import debian  # noqa: E402
import lab  # noqa: E402

# What the system has beside what our packages depend on.
PACKAGES = """bash coreutils dash debianutils diffutils dpkg findutils grep gzip hostname login mount passwd sed
  tar util-linux systemd systemd-sysv udev kmod init-system-helpers e2fsprogs fio procps libnbd-bin""".split()
MODULES = ["ublk_drv", "nbd", "loop"]
NOT_NEEDED = """systemd-timesyncd getty@tty1 serial-getty@ttyS0 systemd-networkd apt-daily.timer apt-daily-upgrade.timer
  e2scrub_reap e2scrub_all.timer fstrim.timer dpkg-db-backup.timer systemd-update-utmp systemd-update-utmp-runlevel
  systemd-random-seed systemd-logind systemd-user-sessions console-getty systemd-hwdb-update
  systemd-journal-flush systemd-pcrphase systemd-ask-password-console.path systemd-ask-password-wall.path
  sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount
  systemd-machine-id-commit ldconfig systemd-binfmt modprobe@configfs modprobe@dm_mod modprobe@drm
  modprobe@efi_pstore getty-static systemd-modules-load systemd-sysctl systemd-tmpfiles-clean.timer
  sys-kernel-config.mount sys-fs-fuse-connections.mount systemd-initctl.socket""".split()
# Of the hundreds of devices of a machine, those that somebody waits for here.
TRIGGER = """[Service]
ExecStart=
ExecStart=udevadm trigger --type=devices --action=add --subsystem-match=block --subsystem-match=virtio-ports
"""
AGENT_UNIT = """[Unit]
Description=Commands of the host
[Service]
ExecStart=/agent
Restart=no
[Install]
WantedBy=multi-user.target
"""


def run(*command, **options):
    """What it prints. Tools of administrators are found by everybody, also in a chroot."""
    environment = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                   "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, env=environment,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(done.args)}: exit status {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def depends_of(packages):
    """Names of all that the packages at these paths need, but for themselves."""
    wanted, own = [], {package.name.split("_")[0] for package in packages}
    for package in packages:
        for part in run("dpkg-deb", "-f", package, "Depends").split(","):
            name = part.split("(")[0].split("|")[0].strip()
            if name and name not in own:
                wanted.append(name)
    return sorted(set(wanted))


class System:
    """`folder` is where all of it lies, and is used again by the next call; `packages` are paths of
    .deb files. lab.Unavailable: it cannot be made here."""

    def __init__(self, folder, kernel, packages):
        if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
            raise lab.Unavailable("it takes root and mmdebstrap")
        self.folder, self.kernel = pathlib.Path(folder), kernel
        self.folder.mkdir(parents=True, exist_ok=True)
        self.vmlinux, self.initramfs = kernel.vmlinux, self.folder / "initramfs"
        self._make_base(depends_of(packages))
        self._make_initramfs()
        self._install(packages)

    def _make_base(self, depends):
        """What does not change with our packages: the archive base.tar, and what it is made from."""
        names = ",".join(sorted({*PACKAGES, *depends}))
        key = hashlib.sha256(names.encode()).hexdigest()
        base, made = self.folder / "base.tar", self.folder / "base.key"
        self.base = base
        if base.exists() and made.exists() and made.read_text() == key:
            return
        source = debian.mirror()
        if source is None:
            raise lab.Unavailable("no Debian mirror in /etc/apt")
        try:
            run("mmdebstrap", "--variant=custom", f"--include=base-files,base-passwd,libc-bin,{names}",
                "--aptopt=APT::Install-Recommends \"false\"",
                *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale", "zoneinfo")),
                "--format=tar", "bookworm", base, f"deb {source} bookworm main")
        except RuntimeError as problem:
            # A dependency that no package has is a fault of ours; all else is the mirror's.
            if re.search("Unable to locate|unmet dependencies|no installation candidate", str(problem)):
                raise
            raise lab.Unavailable(str(problem)) from problem
        made.write_text(key)

    def _make_initramfs(self):
        root = self.folder / "initial"
        shutil.rmtree(root, ignore_errors=True)
        for part in ("bin", "dev", "root"):
            (root / part).mkdir(parents=True)
        shutil.copy(self.kernel.folder / "root/bin/busybox", root / "bin/busybox")
        shutil.copy(HERE / "init", root / "init")
        (root / "init").chmod(0o755)
        self._unpack(lab.with_dependencies(self._modules(), ["virtio_blk"])[-1], root)
        with open(self.initramfs, "wb") as archive:
            lab.pack(root, archive)
        shutil.rmtree(root)

    def _modules(self):
        return lab.modules_folder(self.kernel.folder)

    @staticmethod
    def _unpack(path, folder):
        data = lzma.open(path).read() if path.suffix == ".xz" else path.read_bytes()
        (folder / path.name.removesuffix(".xz")).write_bytes(data)

    def _install(self, packages):
        """The system as a folder, from which disks are made."""
        root = self.root = self.folder / "system"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        run("tar", "-xpf", self.base, "-C", root)
        version = next(self._modules().iterdir())
        modules = root / "lib/modules" / version.name / "kernel"
        modules.mkdir(parents=True)
        for path in lab.with_dependencies(version, MODULES):
            self._unpack(path, modules)
        for name in ("modules.builtin", "modules.order"):
            shutil.copy(version / name, modules.parent / name)
        run("chroot", root, "depmod", version.name)
        for package in packages:
            shutil.copy(package, root / package.name)
        run("chroot", root, "dpkg", "-i", *(f"/{package.name}" for package in packages))
        for package in packages:
            (root / package.name).unlink()
        shutil.copy(HERE / "agent", root / "agent")
        (root / "agent").chmod(0o755)
        units = root / "etc/systemd/system"
        (units / "agent.service").write_text(AGENT_UNIT)
        wants = units / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "agent.service").symlink_to("/etc/systemd/system/agent.service")
        for name in NOT_NEEDED:
            link = units / (name if "." in name else name + ".service")
            if not link.exists() and not link.is_symlink():
                link.symlink_to("/dev/null")
        trigger = units / "systemd-udev-trigger.service.d"
        trigger.mkdir()
        (trigger / "few.conf").write_text(TRIGGER)
        (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
        (root / "etc/hostname").write_text("boot\n")
        (root / "etc/fstab").write_text("/dev/vda / ext4 defaults,noatime 0 0\n")

    def disk(self, path, size, files=()):
        """Makes the image of a disk with the system; `files` are put into its root folder."""
        for file in files:
            shutil.copy(file, self.root / file.name)
        with open(path, "wb") as image:
            image.truncate(size)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-d", self.root, path)
        for file in files:
            (self.root / file.name).unlink()


def newer(package, folder, suffix="+next"):
    """The package at that path with a higher version and nothing else changed."""
    tree = pathlib.Path(folder) / "newer"
    shutil.rmtree(tree, ignore_errors=True)
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN/control"
    lines = [line + suffix if line.startswith("Version: ") else line
             for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    name, version, rest = package.name.split("_", 2)
    path = pathlib.Path(folder) / f"{name}_{version}{suffix}_{rest}"
    run("dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, path)
    shutil.rmtree(tree)
    return path
