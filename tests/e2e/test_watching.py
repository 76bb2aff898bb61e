#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What watches volumes: uvdo monitor for Nagios; the alert rules and the dashboard in contrib/, against
the metrics of a real server."""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest
import urllib.parse
import urllib.request

from served import MIB, Served
from support import TESTS, run, uvdo

CONTRIB = TESTS.parent / "contrib"
RULES = CONTRIB / "prometheus/uvdo.rules.yml"
DASHBOARD = CONTRIB / "grafana/uvdo.json"
OK, WARNING, CRITICAL, UNKNOWN = range(4)


class Monitor(Served):
    def monitor(self, *arguments):
        done = uvdo("monitor", "--nagios", *arguments)
        self.assertEqual(done.stdout.count("\n"), 1, done.stdout)
        return done.returncode, done.stdout.strip()

    def write(self):
        client = self.connect()
        self.wait_for_index()
        data = random.Random(2).randbytes(MIB)
        for at in (0, MIB):
            client.pwrite(data, at)
        client.flush()
        client.shutdown()

    def test_a_volume_that_is_well_has_one_line_with_figures(self):
        self.serve()
        self.write()
        status, line = self.monitor(self.image)
        self.assertEqual(status, OK, line)
        self.assertRegex(line, rf"^UVDO OK - {self.image}: 0% of the room for data used, "
                               r"1% of the logical space written, 50% saved\|"
                               r"physical=0%;80;95;0;100 logical=1%;;;0;100 savings=50%;;;0;100$")
        config = self.folder / "config"
        (config / "volumes.d").mkdir(parents=True)
        uuid = json.loads(uvdo("info", "--json", self.image).stdout)["uuid"]
        (config / "volumes.d/archive.toml").write_text(f'uuid = "{uuid}"\nvolume = "{self.image}"\n')
        named = uvdo("monitor", "--nagios", "archive", env={**os.environ, "UVDO_CONFIG_DIR": str(config)})
        self.assertEqual(named.stdout, line.replace(str(self.image), "archive") + "\n")
        told = uvdo("monitor", self.image)
        self.assertEqual((told.returncode, told.stdout[:len(f"OK       {self.image}: ")]),
                         (OK, f"OK       {self.image}: "))

    def test_limits_make_a_warning_and_more(self):
        self.serve()
        self.write()
        for limits, expected in ((["--savings", "50,10"], WARNING), (["--savings", "60,50"], CRITICAL),
                                 (["--savings", "49,10"], OK), (["--logical", "1,2"], WARNING),
                                 (["--logical", "0,1"], CRITICAL), (["--physical", "0,50"], WARNING),
                                 (["--physical", "none"], OK),
                                 (["--physical", "0,50", "--logical", "1,1"], CRITICAL)):
            status, line = self.monitor(*limits, self.image)
            word = ("OK", "WARNING", "CRITICAL")[expected]
            self.assertEqual((status, line.split(" - ")[0]), (expected, f"UVDO {word}"), line)

    def test_all_volumes_are_looked_at_without_a_name(self):
        self.serve()
        status, line = self.monitor()
        self.assertIn(status, (OK, WARNING, CRITICAL), line)  # others may be served here
        self.assertIn(f"'{self.image} physical'=0%;80;95;0;100", line)

    def test_a_volume_in_trouble_is_told_with_the_trouble(self):
        self.serve()
        self.assertEqual(uvdo("suspend", self.image).returncode, 0)
        status, line = self.monitor(self.image)
        self.assertEqual(status, WARNING, line)
        self.assertIn("is suspended", line)
        kinds = [each["kind"] for each in json.loads(uvdo("status", "--json", self.image).stdout)["troubles"]]
        self.assertEqual(kinds, ["suspended"])
        self.assertEqual(uvdo("resume", self.image).returncode, 0)
        self.image.rename(self.folder / "other.img")  # its place is empty
        self.wait_until(lambda: self.monitor(self.image)[0] == WARNING, "the file has moved")
        (self.folder / "other.img").unlink()
        self.wait_until(lambda: self.monitor(self.image)[0] == CRITICAL, "the file is gone")

    def test_a_full_volume_is_critical(self):
        self.image.unlink()
        made = uvdo("format", self.image, "--size", "2880M", "--slab-bits", 13, "--logical-size", "1G")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.serve()
        room = int(re.search(r'"roomBytes": (\d+)', uvdo("stats", "--watch", "0.2", "--count", "1", "--json",
                                                          self.image).stdout.replace('":', '": '))[1])
        client, data = self.connect(), random.Random(3)
        at = 0
        while at < room * 9 // 10:
            client.pwrite(data.randbytes(MIB), at)
            at += MIB
        client.flush()
        status, line = self.monitor(self.image)
        self.assertEqual(status, WARNING, line)
        self.assertRegex(line, r"\d\d% of the room for data used \(warning: 80%\)")
        self.assertEqual(self.monitor("--physical", "98,99", self.image)[0], OK, "the limits decide")
        client.shutdown()

    def test_what_is_not_served_or_not_known(self):
        status, line = self.monitor(self.image)
        self.assertEqual(status, CRITICAL)
        self.assertIn(str(self.image), line)
        for wrong in (["--physical", "90,80"], ["--savings", "5,10"], ["--nonsense"], ["--logical", "x"]):
            done = uvdo("monitor", "--nagios", *wrong)
            self.assertEqual(done.returncode, UNKNOWN)
            self.assertRegex(done.stdout, r"^UVDO UNKNOWN - .*\n$")
            self.assertRegex(done.stderr, r"^uvdo: .*\n$")


def series_in(expression):
    """(metric, its matchers) of a query."""
    for name, matchers in re.findall(r"\b(uvdo_[a-z_]+)(?:\{([^}]*)\})?", expression):
        yield name, re.findall(r'([a-z_]+)(=~|!=|=)"([^"]*)"', matchers)


class Contrib(Served):
    def rules(self):
        """(name, query) of each alert."""
        text = RULES.read_text()
        for part in text.split("- alert: ")[1:]:
            name = part.split("\n")[0]
            expression = re.search(r"expr:(.*?)\n +(for|labels):", part, re.S)[1]
            yield name, expression

    def queries(self):
        dashboard = json.loads(DASHBOARD.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                yield panel["title"], target["expr"]
        yield "variable", dashboard["templating"]["list"][1]["definition"]

    def samples(self):
        self.serve("--metrics", f"unix:{self.folder}/metrics")
        client = self.connect()
        client.pwrite(random.Random(5).randbytes(MIB), 0)
        client.flush()
        client.shutdown()
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(str(self.folder / "metrics"))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
        client.close()
        body = answer.partition(b"\r\n\r\n")[2].decode()
        found = {}
        for name, labels in re.findall(r"(?m)^(uvdo_\w+)\{(.*)\} ", body):
            found.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels)))
        return found

    def test_every_metric_of_rules_and_dashboard_is_one_of_a_server(self):
        samples = self.samples()
        looked_at = 0
        for where, expression in (*self.rules(), *self.queries()):
            for name, matchers in series_in(expression):
                looked_at += 1
                self.assertIn(name, samples, where)
                for label, operator, value in matchers:
                    if value == "$volume":
                        continue
                    held = {sample.get(label) for sample in samples[name]} - {None}
                    wanted = value.split("|") if operator == "=~" else [value]
                    self.assertLessEqual(set(wanted), held, f"{where}: {name} {label}")
        self.assertGreater(looked_at, 60)
        legends = re.findall(r'"legendFormat": "([^"]*)"', DASHBOARD.read_text())
        labels = {label for each in samples.values() for sample in each for label in sample}
        self.assertLessEqual({word for legend in legends for word in re.findall(r"\{\{(\w+)\}\}", legend)}, labels)

    def test_the_dashboard_is_one_that_grafana_reads(self):
        dashboard = json.loads(DASHBOARD.read_text())
        panels = dashboard["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, f"{panel['title']} covers another panel")
            taken |= cells
            self.assertTrue(panel["type"] == "row" or panel["targets"], panel["title"])

    def promtool(self, *arguments):
        if not shutil.which("promtool"):
            self.skipTest("no promtool (Debian's package prometheus)")
        done = run("promtool", *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_rules_are_right_and_fire_when_they_should(self):
        count = len(list(self.rules()))
        self.assertIn(f"{count} rules found", self.promtool("check", "rules", RULES))
        self.promtool("test", "rules", RULES.with_suffix(".test.yml"))
        tested = set(re.findall(r"alertname: (\w+)", RULES.with_suffix(".test.yml").read_text()))
        self.assertEqual(tested, {name for name, _ in self.rules()}, "each alert has a test")

    def test_the_queries_of_the_dashboard_are_right(self):
        lines = ["groups:", "  - name: queries", "    rules:"]
        for number, (_, expression) in enumerate(self.queries()):
            if expression.startswith("label_values"):
                continue
            query = expression.replace("$__rate_interval", "1m").replace("$volume", ".*")
            lines += [f"      - record: uvdo:query:{number}", f"        expr: {json.dumps(query)}"]
        rules = self.folder / "queries.yml"
        rules.write_text("\n".join(lines) + "\n")
        self.promtool("check", "rules", rules)

    def work(self, over):
        """Of all kinds that a dashboard has plots for, until it is over."""
        client, data = self.connect(), random.Random(7)
        twice, text, at = data.randbytes(MIB), bytes(range(64)) * 64, 0
        while not over.is_set():
            client.pwrite(twice, at)
            client.pwrite(b"".join(data.randbytes(16) + text[16:] for _ in range(64)), at + MIB)
            client.flush()
            client.pread(MIB, at)
            at = (at + 2 * MIB) % (self.LOGICAL // 2)
        client.shutdown()

    def prometheus(self, port):
        """Has one collect the metrics at that port, with the rules; returns a function that asks it."""
        config = self.folder / "prometheus.yml"
        config.write_text(f"""global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}}
rule_files: [{json.dumps(str(RULES))}]
scrape_configs: [{{job_name: uvdo, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
""")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            own = "127.0.0.1:%d" % free.getsockname()[1]
        with open(self.folder / "prometheus.log", "w") as log:
            process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/tsdb",
                 f"--web.listen-address={own}"], stdout=log, stderr=subprocess.STDOUT)
        self.addCleanup(process.wait)
        self.addCleanup(process.send_signal, signal.SIGKILL)

        def ask(path, **query):
            url = f"http://{own}/api/v1/{path}?{urllib.parse.urlencode(query)}"
            try:
                with urllib.request.urlopen(url, timeout=30) as answer:
                    return json.load(answer)["data"]
            except urllib.error.HTTPError as problem:
                # 503: it has begun to listen, and not to work.
                self.assertEqual(problem.code, 503, f"{query}: {problem.read().decode()}")
                return None
            except OSError:
                self.assertIsNone(process.poll(), (self.folder / "prometheus.log").read_text())
                return None
        return ask

    @unittest.skipUnless(shutil.which("prometheus"), "no prometheus (Debian's package of that name)")
    def test_prometheus_has_data_for_every_query_of_the_dashboard(self):
        self.serve("--metrics", "tcp:127.0.0.1:0")
        self.wait_for_index()
        ask = self.prometheus(re.search(r"metrics on tcp:127\.0\.0\.1:(\d+)", self.log())[1])
        over = threading.Event()
        worker = threading.Thread(target=self.work, args=(over,))
        worker.start()
        try:
            self.have_data(ask)
        finally:
            over.set()
            worker.join()

    def have_data(self, ask):
        waiting = {}
        for where, expression in self.queries():
            if expression.startswith("label_values"):
                expression = re.match(r"label_values\((\w+), ", expression)[1]
            waiting[expression.replace("$__rate_interval", "5s").replace("$volume", ".*")] = where

        def all_have_data():
            for query in list(waiting):
                told = ask("query", query=query)
                if told and any(series["value"][1] != "NaN" for series in told["result"]):
                    del waiting[query]
            time.sleep(0.1)
            return not waiting
        self.wait_until(all_have_data, waiting)

        def rules():
            return [rule for group in ask("rules")["groups"] for rule in group["rules"]]
        self.wait_until(lambda: {rule["health"] for rule in rules()} == {"ok"}, "rules that cannot be evaluated")
        fired = [rule["name"] for rule in rules() if rule["state"] != "inactive"]
        self.assertEqual(fired, [], "the volume is well")


if __name__ == "__main__":
    unittest.main(verbosity=2)
