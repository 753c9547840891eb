"""The dashboard of real runs in a headless Chromium: `scripts/test-dashboard.sh` runs this.

    test.py TRIBUTARY TRIBUTARY_LEARNER [SCREENSHOT.png]
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from browser import Browser

PATIENCE = 120
GRID = """
[run]
name = "grid"
[environment]
kind = "hypergrid"
dimensions = 2
side = 16
[reward]
kind = "original"
r0 = 0.01
r1 = 0.5
r2 = 2.0
[policy]
hidden = [64]
[learner]
generated = 100_000_000
checkpoint_every = "2s"
[evaluation]
every = "1s"
[actor]
batch = 16
"""

# Nothing of this may become markup, run, or leave its cell.
HOSTILE = ["<img/src=x/onerror=window.hacked=1>", "</td><script>window.hacked=1</script>", "\"'`&lt;", "\u202egnp.exe"]
HOSTILE_RUN = """
[run]
name = "hostile"
[environment]
kind = "sequence"
construction = "append"
vocabulary = [%s]
length = 2
[reward]
kind = "table"
file = "words.tsv"
[policy]
hidden = [8]
[learner]
generated = 100_000_000
batch = 16
"""


def wait_for(what, look, seconds=PATIENCE):
    """Waits until `look` finds something."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


class Run:
    """A learner with actors, as processes of their own."""

    def __init__(self, programs, folder, text, actors=("actor-1", "actor-2")):
        self.tributary, self.learner_program = programs
        self.folder = folder
        self.run = folder / "run"
        self.text = text
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder), "TRIBUTARY_CACHE": str(folder / "cache")}
        self.learner = None
        (folder / "run.toml").write_text(text)
        self.start("--run-file", folder / "run.toml")
        self.actors = [self.spawn(self.tributary, "actor", "--learner", self.address()["grpc"], "--name", name) for name in actors]

    def spawn(self, *arguments):
        log = open(self.folder / "log", "ab")
        arguments = [str(argument) for argument in arguments]
        return subprocess.Popen(arguments, stdout=log, stderr=log, cwd=self.folder, env=self.environment, start_new_session=True)

    def start(self, *arguments):
        self.learner = self.spawn(self.learner_program, "--run-dir", self.run, *arguments)
        wait_for("the learner's address", lambda: self.address().get("pid") == self.learner.pid or self.learner.poll() is not None)
        assert self.learner.poll() is None, (self.folder / "log").read_text()[-3000:]

    def address(self):
        try:
            return json.loads((self.run / "address.json").read_text())
        except (OSError, ValueError):
            return {}

    def page(self):
        answer = subprocess.run([self.tributary, "dashboard", str(self.run)], capture_output=True, text=True, check=True)
        return answer.stdout.strip()

    def records(self):
        lines = (self.run / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for process in [self.learner, *self.actors]:
            process.kill()
            process.wait()
        if kind:
            sys.stderr.write((self.folder / "log").read_text()[-3000:])


def grouped(number):
    return f"{round(number):,}"


def shown_figures(page):
    """One moment of the page: the number of the record, and the tiles as they are shown."""
    return page.evaluate("""({
      number: Number(document.documentElement.dataset.number),
      tiles: Object.fromEntries([...document.querySelectorAll('[data-figure]')].map((of) => [of.dataset.figure, of.textContent])),
    })""")


def near(text, value, tolerance=6e-4):
    return abs(float(text.replace(",", "")) - value) <= tolerance * max(abs(value), 1e-9)


def values_are_the_runs(run, page):
    for _ in range(3):
        shown = shown_figures(page)
        record = wait_for("the record that is shown", lambda: next((r for r in run.records() if r["number"] == shown["number"]), None))
        tiles = shown["tiles"]
        for label, name in [("trajectories", "generated"), ("updates", "updates"), ("objects paid for", "paid"), ("actors", "actors")]:
            assert tiles[label] == grouped(record[name]), (label, tiles[label], record[name])
        for label, name in [("loss", "loss"), ("log Z", "log_z"), ("total variation", "total_variation"), ("lag", "lag_mean"), ("trajectories/s", "trajectories_per_second")]:
            assert near(tiles[label], record[name]), (label, tiles[label], record[name])
        page.until("a newer record", f"Number(document.documentElement.dataset.number) > {shown['number']}")
    # The table behind a chart has the run's values, too.
    page.evaluate("document.querySelector('#chart-loss details').open = true")
    page.until("the table of losses", "document.querySelectorAll('#chart-loss tbody tr').length > 2")
    text = page.evaluate("[...document.querySelectorAll('#chart-loss tbody td:nth-child(2)')].map((cell) => cell.textContent)")
    # A record is in the file before it is told.
    recorded = [(int(record["seconds"]), record["loss"]) for record in run.records() if "loss" in record]
    # Records of one second are one point, the mean, when the history is loaded.
    spans = [recorded[i:j] for i in range(len(recorded)) for j in range(i + 1, min(i + 5, len(recorded) + 1))]
    losses = {sum(loss for _, loss in span) / len(span) for span in spans if span[0][0] == span[-1][0]}
    numbers = [of for of in text if of != "–"]
    assert numbers and all(any(near(of, loss) for loss in losses) for of in numbers), (numbers, losses)


def everything_is_there(run, page):
    page.until("the heat maps", "document.querySelectorAll('#maps canvas').length === 3")
    page.until("both actors", "document.querySelectorAll('#actors tbody tr').length === 2")
    page.until("who waits for whom", "!document.getElementById('chart-waiting').hidden")
    for place in ["best", "lags", "waits", "rewards", "rejected", "yields", "books"]:
        assert page.evaluate(f"document.getElementById('{place}').innerText.trim().length") > 0, place
    charts = page.evaluate("[...document.querySelectorAll('figure.chart')].filter((of) => !of.hidden).map((of) => of.id)")
    for chart in ["loss", "log-z", "distance", "rate", "lag", "actors-here", "memory", "waiting", "best-reward", "paid"]:
        assert f"chart-{chart}" in charts, charts
    # Drawn: no chart is of one colour.
    blank = page.evaluate("""[...document.querySelectorAll('figure.chart canvas, #maps canvas')].filter((of) => of.offsetParent).filter((of) => {
      const data = new Uint32Array(of.getContext('2d').getImageData(0, 0, of.width, of.height).data.buffer);
      return data.every((pixel) => pixel === data[0]);
    }).length""")
    assert blank == 0, f"{blank} canvases are blank"
    # For who does not see it: names of all pictures, captions of all tables, an order of headings, no image
    # without a text.
    nameless = page.evaluate("""[...document.querySelectorAll('canvas')].filter((of) => of.offsetParent && !of.getAttribute('aria-label')).length
      + [...document.querySelectorAll('table')].filter((of) => !of.caption?.textContent).length
      + [...document.querySelectorAll('img:not([alt]), th:not([scope])')].length""")
    assert nameless == 0, f"{nameless} parts have no name"
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    for role in ("button", "combobox", "image", "img"):
        for node in tree:
            if node.get("role", {}).get("value") == role and not node.get("ignored"):
                assert node.get("name", {}).get("value"), f"a {role} has no name"
    # By keyboard: the chart tells its values.
    page.evaluate("document.querySelector('#chart-loss canvas').focus()")
    page.key("ArrowLeft")
    page.until("the value at the cursor", "/\\d:\\d\\d: all samples [\\d.]+/.test(document.getElementById('cursor').textContent)")
    page.key("Escape")


def token_stays(run, page):
    address = page.evaluate("location.href")
    assert "#" not in address and "token" not in address, address
    token = (run.run / "token").read_text().strip()
    asked = [event["params"]["request"] for event in page.browser.events if event.get("method") == "Network.requestWillBeSent"]
    assert asked and not any(token in request["url"] for request in asked)
    assert all(request["url"].startswith(run.address()["http"]) for request in asked if request["url"].startswith("http"))


def fits_a_phone(page):
    sizes = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth, document.documentElement.clientWidth]")
    assert sizes[0] <= sizes[2], f"the page is {sizes} wide"


def learner_comes_back(run, page):
    before = page.until("a record", "Number(document.documentElement.dataset.number)")
    wait_for("a checkpoint", lambda: any((run.run / "checkpoints").iterdir()) if (run.run / "checkpoints").exists() else False)
    run.learner.send_signal(signal.SIGKILL)
    run.learner.wait()
    page.until("that the learner is missed", "document.getElementById('connection').textContent.includes('out of reach')")
    run.start()
    page.until("the next incarnation", "document.documentElement.dataset.incarnation === '2'", PATIENCE)
    page.until("records of it", f"Number(document.documentElement.dataset.number) > {before} + 2", PATIENCE)
    # The history goes back to before the restart.
    page.evaluate("document.querySelector('#chart-paid details').open = true")
    page.until("the first records", "document.querySelector('#chart-paid tbody th')?.textContent === '0:00'")
    rows = page.evaluate("[...document.querySelectorAll('#chart-paid tbody th')].map((cell) => cell.textContent)")
    assert len(rows) > 3, rows


def hostile_texts_are_inert(programs, folder):
    pairs = [json.dumps([one, other]) for one in HOSTILE for other in HOSTILE]
    rows = "".join(f"{pair}\t{1 + i}\n" for i, pair in enumerate(pairs))
    (folder / "words.tsv").write_text(f"object\tvalue\n{rows}")
    vocabulary = ", ".join(json.dumps(word) for word in HOSTILE)
    name = "<img src=x onerror='window.hacked=1'>\u202e"
    with Run(programs, folder, HOSTILE_RUN % vocabulary, [name]) as run, Browser() as browser:
        page = browser.page()
        page.open(run.page())
        page.until("objects and the actor", "document.querySelectorAll('#best tbody tr').length > 3 && document.querySelectorAll('#actors tbody tr').length === 1")
        text = page.evaluate("document.getElementById('best').textContent")
        assert HOSTILE[0] in text and HOSTILE[1] in text, text
        assert "\u202e" not in page.evaluate("document.body.textContent")
        assert "<img src=x onerror='window.hacked=1'>" in page.evaluate("document.getElementById('actors').textContent")
        assert page.evaluate("document.querySelectorAll('main img, main script, main b').length") == 0
        assert page.evaluate("window.hacked === undefined")
        # Even what got in would not run.
        blocked = page.evaluate("""(() => {
          try { document.body.innerHTML = '<img src=x onerror="window.hacked=1">'; return false; } catch { return true; }
        })()""")
        assert blocked, "text became markup"
        errors = [error for error in page.errors() if "TrustedHTML" not in error and "trusted-types" not in error.lower()]
        assert errors == [], errors


def a_million_records_are_drawn_soon(programs, folder):
    with Run(programs, folder, GRID.replace("100_000_000", "100"), ["actor-1"]) as run:
        wait_for("the end of the run", lambda: run.learner.poll() is not None)
        metrics = run.run / "metrics.jsonl"
        last = run.records()[-1]
        count = 1_000_000
        line = '{"schema":1,"number":%d,"step":%d,"seconds":%d.25,"time":%d,"loss":%.4f,"log_z":%.4f,"log_z_target":2.5,"total_variation":%.4f,"trajectories_per_second":%d,"lag_mean":%.2f,"generated":%d,"modes.found":%d}\n'
        with open(metrics, "w") as file:
            for i in range(count):
                peak = 90.0 if i == 654_321 else 0.0
                file.write(line % (i + 1, i, i, 1e9 + i, 1 / (1 + i / 1e4) + i % 7 / 100 + peak, 2.5 - 2.5 / (1 + i / 1e5), 1 / (1 + i / 2e5), 900 + i % 97, 9 + i % 5, i, i // 9999))
            file.write(json.dumps({**last, "number": count + 1, "seconds": count + 0.25}) + "\n")
        run.start("--set", "learner.generated=100_000_000")
        wait_for("the history", lambda: history(run)["records"] >= count)
        view = history(run)
        assert max(value for value in view["series"]["loss"]["max"] if value is not None) > 89, "the peak is lost"
        times = []
        for dark in (False, True, False):
            with Browser() as browser:
                page = browser.page(dark=dark)
                page.open(run.page())
                times.append(int(page.until("all charts", "document.documentElement.dataset.drawn")))
                assert page.errors() == [], page.errors()
                points = page.evaluate("document.querySelector('#chart-loss canvas').getAttribute('aria-label')")
                assert "11 d 13 h" in points, points
        print(f"dashboard: {count:,} records drawn {min(times)} to {max(times)} ms after the page was asked for")
        # A busy machine may be slow once.
        assert sorted(times)[1] <= 2_000, times


def history(run):
    import urllib.request
    token = (run.run / "token").read_text().strip()
    request = urllib.request.Request(f"{run.address()['http']}/api/v1/history", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def without_its_token_the_page_shows_nothing(run, page):
    page.open(run.address()["http"] + "/")
    page.until("the question for the token", "!document.getElementById('unlock').hidden")
    assert page.evaluate("document.getElementById('main').hidden")
    page.evaluate("document.getElementById('token').value = 'no-such-token-0123456789'; document.querySelector('#unlock-form button').click()")
    page.until("the refusal", "document.getElementById('unlock-problem').textContent.includes('token')")
    token = (run.run / "token").read_text().strip()
    page.evaluate(f"document.getElementById('token').value = '{token}'; document.querySelector('#unlock-form button').click()")
    page.until("the run", "!document.getElementById('main').hidden && document.documentElement.dataset.drawn")


def a_run_in_sight(programs, folder, screenshot):
    with Run(programs, folder, GRID) as run:
        wait_for("comparisons", lambda: (run.run / "metrics.jsonl").exists() and sum("total_variation" in record for record in run.records()) > 5)
        with Browser() as browser:
            page = browser.page(width=1280, height=1000)
            page.open(run.page())
            page.until("all charts", "document.documentElement.dataset.drawn")
            values_are_the_runs(run, page)
            everything_is_there(run, page)
            token_stays(run, page)
            fits_a_phone(page)
            assert page.errors() == [], page.errors()
            said("its values are the run's, all of it is there and named")
            phone = browser.page(width=360, height=740, scale=2, mobile=True, dark=True)
            phone.open(run.page())
            phone.until("all charts", "document.documentElement.dataset.drawn && document.querySelectorAll('#maps canvas').length === 3")
            fits_a_phone(phone)
            assert phone.errors() == [], phone.errors()
            said("it fits a phone")
            stranger = browser.page()
            without_its_token_the_page_shows_nothing(run, stranger)
            # A browser says of every answer 401 that it is one.
            assert stranger.errors(with_network=False) == [], stranger.errors()
            said("without the token nothing is shown")
            if screenshot:
                page.screenshot(screenshot)
                phone.screenshot(screenshot.replace(".png", "-phone.png"), whole=True)
            learner_comes_back(run, page)
            # Of connections that failed meanwhile it has to complain.
            assert page.errors(with_network=False) == [], page.errors()
            said("it comes back with the learner")
            run.learner.send_signal(signal.SIGTERM)
            page.until("the end", "document.getElementById('connection').textContent.includes('has ended')")
            assert page.evaluate("!document.getElementById('main').hidden"), "the last figures stay"
            said("it says that the run has ended")


def said(what):
    print(f"dashboard: {what}", flush=True)


def main():
    programs = sys.argv[1:3]
    screenshot = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory(prefix="tributary-dashboard-") as name:
        folder = pathlib.Path(name)
        tests = ("sight", "hostile", "million")
        for test in tests:
            (folder / test).mkdir()
        a_run_in_sight(programs, folder / "sight", screenshot)
        hostile_texts_are_inert(programs, folder / "hostile")
        said("hostile texts are texts")
        a_million_records_are_drawn_soon(programs, folder / "million")
    said("done")


main()
