#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A caller with the documented parameters of Ansible's module `vdo`: it brings a volume into a state
that is described, and tells whether it changed anything. It reads `vdo status` as YAML and decides
by it which commands to issue.

    ansible_style.py state=present name=vdo1 device=/dev/sdb logicalsize=20t ...
Prints JSON: {"changed": ..., "commands": [...]}; fails with the rc and text of vdo."""
import json
import subprocess
import sys

import yaml

# Parameter, option of create and modify, key in the status.
MODIFIED = [
    ("blockmapcachesize", "--blockMapCacheSize", "Block map cache size"),
    ("ackthreads", "--vdoAckThreads", "Acknowledgement threads"),
    ("biothreads", "--vdoBioThreads", "Bio submission threads"),
    ("cputhreads", "--vdoCpuThreads", "CPU-work threads"),
    ("logicalthreads", "--vdoLogicalThreads", "Logical threads"),
    ("physicalthreads", "--vdoPhysicalThreads", "Physical threads"),
    ("readcache", "--readCache", "Read cache"),
    ("readcachesize", "--readCacheSize", "Read cache size"),
]
CREATED = MODIFIED + [
    ("logicalsize", "--vdoLogicalSize", None),
    ("slabsize", "--vdoSlabSize", None),
    ("indexmem", "--indexMem", None),
    ("emulate512", "--emulate512", None),
    ("deduplication", "--deduplication", None),
    ("compression", "--compression", None),
    ("writepolicy", "--writePolicy", None),
]


class Module:
    def __init__(self, parameters):
        self.parameters = parameters
        self.commands = []

    def vdo(self, *words):
        self.commands.append(" ".join(words))
        done = subprocess.run(["vdo", *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(json.dumps({"failed": True, "rc": done.returncode, "err": done.stderr}))
            sys.exit(1)

    def status(self):
        done = subprocess.run(["vdo", "status"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return {}
        return yaml.safe_load(done.stdout).get("VDOs") or {}

    def running(self):
        return subprocess.run(["vdo", "list"], capture_output=True, text=True,
                              check=True).stdout.split()

    def truth(self, name):
        value = self.parameters.get(name)
        return None if value is None else value.lower() in ("yes", "true", "1")

    def create(self, name):
        words = ["create", f"--name={name}", f"--device={self.parameters['device']}"]
        for parameter, option, _ in CREATED:
            if parameter in self.parameters:
                words.append(f"{option}={self.parameters[parameter]}")
        if self.parameters.get("indexmode") == "sparse":
            words.append("--sparseIndex=enabled")
        if self.truth("force"):
            words.append("--force")
        self.vdo(*words)
        if self.truth("activated") is False:
            self.vdo("deactivate", f"--name={name}")
        if self.truth("running") is False:
            self.vdo("stop", f"--name={name}")

    def bring(self, name, volume):
        """Changes what is otherwise than it should be."""
        words = [f"{option}={self.parameters[parameter]}" for parameter, option, key in MODIFIED
                 if parameter in self.parameters
                 and str(volume.get(key, "")) != self.parameters[parameter]]
        if words:
            self.vdo("modify", f"--name={name}", *words)
        for parameter, key in (("deduplication", "Deduplication"), ("compression", "Compression")):
            wanted = self.parameters.get(parameter)
            if wanted and volume[key] != wanted:
                verb = ("enable" if wanted == "enabled" else "disable") + key
                self.vdo(verb, f"--name={name}")
        policy = self.parameters.get("writepolicy")
        if policy and volume["Configured write policy"] != policy:
            self.vdo("changeWritePolicy", f"--name={name}", f"--writePolicy={policy}")
        activated = self.truth("activated")
        if activated is not None and (volume["Activate"] == "enabled") != activated:
            self.vdo("activate" if activated else "deactivate", f"--name={name}")
        running = self.truth("running")
        if running is not None and (name in self.running()) != running:
            self.vdo("start" if running else "stop", f"--name={name}")
        size = self.parameters.get("logicalsize")
        if size and size.upper() != volume["Logical size"] and name in self.running():
            self.vdo("growLogical", f"--name={name}", f"--vdoLogicalSize={size}")
        if self.truth("growphysical"):
            self.vdo("growPhysical", f"--name={name}")

    def run(self):
        name = self.parameters["name"]
        volumes = self.status()
        if self.parameters.get("state", "present") == "absent":
            if name in volumes:
                words = ["remove", f"--name={name}"]
                self.vdo(*words, *(["--force"] if self.truth("force") else []))
        elif name in volumes:
            self.bring(name, volumes[name])
        else:
            self.create(name)
        print(json.dumps({"changed": bool(self.commands), "commands": self.commands}))


if __name__ == "__main__":
    Module(dict(word.split("=", 1) for word in sys.argv[1:])).run()
