# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual machine that runs shell commands for the host (guest/init), with raw files as its disks."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

BOOT_SECONDS = 240          # under emulation on a busy machine
PROBE_SECONDS = 20          # what hardware virtualization gets to boot in, else it is not used
COMPLAINT = re.compile(r"^<([0-4])>")  # of the kernel: warnings and worse
# What it says of a host that is busy, and has no bearing on volumes.
BUSY_HOST = ["hrtimer: interrupt took", "clocksource: ", "hogged CPU for", "sched: RT throttling",
             "NOHZ tick-stop error", "rcu: INFO: .* self-detected stall", "perf: interrupt took"]

# Emulation is slowest at what a modern processor is best at: it gets a plain one. Debian 12's QEMU
# corrupts the flags after cmpxchg16b, so that the guest dies in its first interrupt: none of that.
ACCELERATORS = {"kvm": ["-accel", "kvm", "-cpu", "max"],
                "tcg": ["-accel", "tcg,thread=multi", "-cpu", "Nehalem,-vme,-cx16,+rdtscp"]}


class Died(Exception):
    """The machine has gone, or does not answer."""


class Failed(Exception):
    """A command in the guest failed."""


class Machine:
    """Disks are /dev/vda, /dev/vdb...: raw files, whose size can change (resize). They are read
    and written through the host's page cache, like everybody else does who uses the files."""

    def __init__(self, lab, disks, accelerator, megabytes=1400, processors=1, options="",
                 boot_seconds=BOOT_SECONDS):
        """`options` are more of the kernel's."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="uvdo-vm."))
        self.accelerator = accelerator
        self.received, self.open = b"", []
        agent = self._listen("agent")
        control = self._listen("qmp")
        console = self.folder / "console"
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-nographic",
                   "-no-reboot", "-machine", "q35,hpet=off,vmport=off",
                   *ACCELERATORS[accelerator], "-smp", str(processors), "-m", str(megabytes),
                   "-kernel", lab.vmlinux, "-initrd", lab.initramfs,
                   "-append", "console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable "
                   "no_timer_check audit=0 nowatchdog rcupdate.rcu_expedited=1 random.trust_cpu=1 "
                   + options,
                   "-serial", f"file:{console}", "-device", "virtio-rng-pci",
                   "-chardev", f"socket,id=agent,path={self.folder}/agent",
                   "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent",
                   "-chardev", f"socket,id=qmp,path={self.folder}/qmp", "-mon", "qmp,mode=control"]
        for number, path in enumerate(disks):
            command += ["-blockdev", f"driver=raw,node-name=disk{number},discard=unmap,"
                        f"file.driver=file,file.filename={path},file.locking=off,"
                        "file.discard=unmap,cache.direct=off,cache.no-flush=on",
                        "-device", f"virtio-blk-pci,id=device{number},drive=disk{number},write-cache=on"]
        self.log = self._opened(open(self.folder / "qemu.log", "w"))
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT)
        try:
            self.agent = self._accept(agent, boot_seconds)
            self.control = self._accept(control, boot_seconds)
            self.control.settimeout(60)
            self.answers = self._opened(self.control.makefile("r"))
            self.answers.readline()
            self._control("qmp_capabilities")
            self._until_done("boot", boot_seconds, None)
        except Exception:
            self.kill()
            raise

    def _opened(self, what):
        self.open.append(what)
        return what

    def _listen(self, name):
        listener = self._opened(socket.socket(socket.AF_UNIX))
        listener.bind(str(self.folder / name))
        listener.listen(1)
        return listener

    def _accept(self, listener, seconds):
        listener.settimeout(0.2)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                return self._opened(listener.accept()[0])
            except socket.timeout:
                if self.process.poll() is not None:
                    break
        raise Died((self.folder / "qemu.log").read_text() or "QEMU did not start")

    def _control(self, command, **arguments):
        self.control.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            line = self.answers.readline()
            if not line:
                raise Died("QEMU has gone")
            answer = json.loads(line)
            if "error" in answer:
                raise Failed(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def _until_done(self, command, seconds, kill_at):
        """Reads the guest's output up to the end of a command: (status, output)."""
        end, lines = time.monotonic() + seconds, []
        while True:
            while b"\n" in self.received:
                raw, self.received = self.received.split(b"\n", 1)
                line = raw.decode(errors="replace")
                if line.startswith("@@ "):
                    return line[3:], "\n".join(lines)
                lines.append(line)
                if kill_at is not None and line == kill_at:
                    self.kill()
                    return "killed", "\n".join(lines)
            self.agent.settimeout(max(0.01, end - time.monotonic()))
            try:
                part = self.agent.recv(65536)
            except socket.timeout:
                part = b""
            except OSError:
                part = b""
            if not part:
                told = self.console()[-3000:]
                raise Died(f"no answer from the guest to: {command}\n" + "\n".join(lines[-20:]) + told)
            self.received += part

    def console(self):
        try:
            return (self.folder / "console").read_text(errors="replace")
        except OSError:
            return ""

    def run(self, command, seconds=300, check=True):
        """Runs shell commands (guest/vdo.sh has functions) and returns what they print."""
        self.agent.sendall(command.replace("\n", "; ").encode() + b"\n")
        status, output = self._until_done(command, seconds, None)
        if check and status != "0":
            raise Failed(f"exit status {status} of: {command}\n{output}\n{self.kernel_log()}")
        return output if check else (status, output)

    def run_until_killed(self, command, marker, seconds=300):
        """Kills the machine, as a power cut would, as soon as the command prints `marker`."""
        self.agent.sendall(command.encode() + b"\n")
        status, output = self._until_done(command, seconds, marker)
        if status != "killed":
            raise Failed(f"ended before {marker}: exit status {status}\n{output}")
        return output

    def leave(self, seconds=120):
        """Lets the guest end by itself; whether it has powered off."""
        self.agent.sendall(b"leave\n")
        self.process.wait(seconds)
        return "reboot: Power down" in self.console()

    def kernel_log(self):
        """What the kernel has said since the last call, with a level before each line."""
        return self.run("dmesg -r -c 2>/dev/null || dmesg -r", check=False)[1]

    def complaints(self, expected=()):
        """Warnings and errors in the kernel's log since the last call, but for those expected."""
        return [line for line in self.kernel_log().splitlines() if COMPLAINT.match(line)
                and not any(re.search(pattern, line) for pattern in [*expected, *BUSY_HOST])]

    def resize(self, number, size):
        """Gives a disk a new size in bytes; its file too."""
        self._control("block_resize", **{"node-name": f"disk{number}", "size": size})

    def throttle(self, number, requests):
        """A disk does so many requests a second from now on."""
        none = dict.fromkeys(["bps", "bps_rd", "bps_wr", "iops_rd", "iops_wr"], 0)
        self._control("block_set_io_throttle", id=f"/machine/peripheral/device{number}/virtio-backend", iops=requests, **none)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for what in self.open:
            what.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def accelerator(lab):
    """The best accelerator with which a guest really starts: hardware virtualization may be there
    and not work. UVDO_KERNEL_ACCELERATOR (kvm, tcg) decides instead."""
    wanted = os.environ.get("UVDO_KERNEL_ACCELERATOR")
    if wanted:
        return wanted
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        try:
            Machine(lab, [], "kvm", boot_seconds=PROBE_SECONDS).kill()
            return "kvm"
        except (Died, Failed, OSError):
            pass
    return "tcg"
