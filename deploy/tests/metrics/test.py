"""The metrics of a real run, read by the programs that are to read them: `scripts/test-metrics.sh` runs this.

    test.py TRIBUTARY TRIBUTARY_LEARNER

promtool looks at the pages, the example configuration and the alerts; Prometheus scrapes two learners with
an actor each, and every query of the Grafana dashboard and of the Helm chart must bring something; the event files are
read back by TensorBoard's own reader, through a death of the learner.
"""

import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "deploy/prometheus"
PATIENCE = 60
GRID = """
[run]
name = "grid"
tensorboard = true
[environment]
kind = "hypergrid"
dimensions = 2
side = 16
[reward]
kind = "original"
r0 = 0.01
SHARED[policy]
hidden = [16]
[learner]
generated = 100_000_000
checkpoint_every = "1s"
[evaluation]
every = "1s"
[actor]
batch = 16
"""


def wait_for(what, look):
    """Waits until `look` finds something."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.05)


def done(*command, **more):
    """What a program that does well says."""
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout


def get(url, token=None):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


class Run:
    """A learner and an actor that shows its metrics. Where rewards are shared, values cost something: there is no
    exact comparison, but a count of evaluations."""

    def __init__(self, programs, folder, shared):
        self.tributary, self.learner_program = programs
        self.folder, self.run, self.processes = folder, folder / "run", []
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder), "TRIBUTARY_CACHE": str(folder / "cache")}
        folder.mkdir()
        (folder / "run.toml").write_text(GRID.replace("SHARED", "durable = true\nshared = true\n" if shared else ""))
        self.start("--run-file", folder / "run.toml")
        self.spawn("actor", self.tributary, "actor", "--learner", self.address()["grpc"], "--metrics", "127.0.0.1:0")
        told = wait_for("an actor's address", lambda: re.search(r"metrics are at (http://[0-9.:]+/metrics)", self.log("actor")))
        self.actor = told.group(1)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def spawn(self, name, *arguments, cwd=None):
        log = open(self.folder / f"{name}.log", "ab")
        arguments = [str(argument) for argument in arguments]
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd or self.folder, env=self.environment)
        self.processes.append(process)
        return process

    def start(self, *arguments):
        self.learner = self.spawn("learner", self.learner_program, "--run-dir", self.run, *arguments)
        wait_for("the learner's address", lambda: self.address().get("pid") == self.learner.pid or self.learner.poll() is not None)
        assert self.learner.poll() is None, self.log("learner")

    def address(self):
        try:
            return json.loads((self.run / "address.json").read_text())
        except (OSError, ValueError):
            return {}

    def token(self):
        return (self.run / "token").read_text().strip()

    def records(self):
        lines = (self.run / "metrics.jsonl").read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def kill_all(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def check_pages(runs):
    """promtool's rules for names and help; its parser knows counters by their whole name only."""
    pages = [get(run.address()["http"] + "/metrics", run.token()) for run in runs] + [get(run.actor) for run in runs]
    for page in pages:
        counters = re.findall(r"^# TYPE (\S+) counter$", page, re.M)
        assert page.endswith("# EOF\n") and len(counters) > 5, page
        for name in counters:
            page = re.sub(rf"^# (TYPE|HELP) {name} ", rf"# \1 {name}_total ", page, flags=re.M)
        done("promtool", "check", "metrics", input=page)
    return len(pages)


def check_examples(folder, token):
    """The example configuration and the alerts, for themselves."""
    for name in ("prometheus.yml", "alerts.yml", "alerts_test.yml"):
        (folder / name).write_text((EXAMPLES / name).read_text())
    (folder / "token").write_text(token)
    done("promtool", "check", "config", "prometheus.yml", cwd=folder)
    done("promtool", "check", "rules", "alerts.yml", cwd=folder)
    done("promtool", "test", "rules", "alerts_test.yml", cwd=folder)


class Prometheus:
    """A real one, with the example configuration for the addresses of this run."""

    def __init__(self, runs, folder):
        text = (folder / "prometheus.yml").read_text()
        host = lambda url: urllib.parse.urlparse(url).netloc
        learners, actors = ([host(url) for url in urls] for urls in ([run.address()["http"] for run in runs], [run.actor for run in runs]))
        # Each learner has a token of its own.
        labels = "labels: { namespace: science, service: grid-learner }"
        block = text[text.index("  - job_name: tributary-learner"):text.index("  - job_name: tributary-actor")]
        second = block.replace("job_name: tributary-learner", "job_name: second-learner").replace("credentials_file: token", "credentials_file: token-2")
        text = text.replace(block, block.replace("127.0.0.1:4180", learners[0]) + second.replace("127.0.0.1:4180", learners[1]))
        (folder / "token-2").write_text(runs[1].token())
        for example, ours in (
            ("scrape_interval: 5s", "scrape_interval: 1s\n  evaluation_interval: 1s"),
            (f'- targets: ["{learners[0]}"]', f'- targets: ["{learners[0]}"]\n        {labels}'),
            ('- targets: ["127.0.0.1:4190"]', f"- targets: {json.dumps(actors)}"),
        ):
            assert text.count(example) == 1, example
            text = text.replace(example, ours)
        (folder / "prometheus.yml").write_text(text)
        run = runs[0]
        run.spawn(
            "prometheus", "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0", cwd=folder,
        )
        told = wait_for("Prometheus' address", lambda: re.search(r'Listening on"? address="?(127\.0\.0\.1:[0-9]+)', run.log("prometheus")))
        self.url = f"http://{told.group(1)}"

    def ask(self, path, **parameters):
        answer = json.loads(get(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, query):
        return self.ask("query", query=query)["result"]


def queries():
    """Of the dashboard, and of the Helm chart's scaler."""
    dashboard = json.loads((EXAMPLES / "grafana.json").read_text())
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    chart = (ROOT / "deploy/helm/tributary/templates/scaling.yaml").read_text()
    scaler = re.search(r"query: >-\n(.*?)\n +threshold", chart, re.S).group(1)
    scaler = scaler.replace("{{ .Release.Namespace }}", "science").replace('{{ include "tributary.name" . }}', "grid")
    filled = [target.replace("$learner", ".*").replace("$__rate_interval", "10s") for target in targets]
    assert len(targets) > 20 and not any("$" in query for query in filled), filled
    return filled + [" ".join(scaler.split())]


def check_scraped(prometheus):
    wait_for("all to be scraped", lambda: len(prometheus.query("up == 1")) == 4)
    down = prometheus.query("up == 0")
    assert not down, down
    asked = queries()
    for query in asked:
        wait_for(f"a result of {query}", lambda: prometheus.query(query))
    rules = lambda: [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    wait_for("all alerts to be looked at", lambda: len(rules()) > 5 and all(rule["health"] == "ok" for rule in rules()))
    firing = [rule["name"] for rule in rules() if rule["state"] == "firing"]
    assert not firing, firing
    return len(asked)


def check_events(run):
    """What TensorBoard's reader finds is what was recorded; what the second learner did again counts once."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    as_float = lambda value: struct.unpack("f", struct.pack("f", value))[0]
    records = run.records()
    again = next(i for i, record in enumerate(records) if record["number"] == run.first_of_second)
    start = records[again]["step"]
    kept = [record for record in records[:again] if record["step"] < start] + records[again:]
    events = EventAccumulator(str(run.run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    names = {name for record in kept for name in record} - {"schema", "number", "step", "seconds", "time", "stalled_edge"}
    assert {name.replace(".", "/", 1) for name in names} == set(tags), set(tags)
    for name in names:
        found = [(event.wall_time, event.step, event.value) for event in events.Scalars(name.replace(".", "/", 1))]
        expected = [(r["time"], r["step"], as_float(r[name])) for r in kept if r.get(name) is not None]
        assert found == expected, f"{name}: {found} {expected}"
    return len(tags)


def main(*programs):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "prometheus").mkdir()
        programs = [pathlib.Path(program) for program in programs]
        runs = []
        try:
            for name in ("exact", "shared"):
                runs.append(Run(programs, folder / name, name == "shared"))
            run = runs[0]
            wait_for("training", lambda: any(record.get("total_variation") for record in run.records()))
            check_examples(folder / "prometheus", run.token())
            prometheus = Prometheus(runs, folder / "prometheus")
            pages = check_pages(runs)
            print(f"promtool has nothing to say of {pages} pages, the configuration and the alerts")
            count = check_scraped(prometheus)
            print(f"Prometheus scrapes two learners and two actors; {count} queries bring something")
            last = run.records()[-1]["number"]
            wait_for("a record behind the checkpoint", lambda: run.records()[-1]["number"] > last + 1)
            run.learner.kill()
            run.learner.wait()
            run.first_of_second = run.records()[-1]["number"] + 1
            run.start()
            wait_for("records of the second learner", lambda: run.records()[-1]["number"] > run.first_of_second + 2)
            run.learner.send_signal(signal.SIGTERM)
            run.learner.wait(timeout=PATIENCE)
            tags = check_events(run)
            print(f"TensorBoard reads {tags} scalars as they were recorded, through a restart")
        except BaseException:
            for run in runs:
                print(run.log("learner")[-3000:], file=sys.stderr)
            raise
        finally:
            for run in runs:
                run.kill_all()


main(*sys.argv[1:])
