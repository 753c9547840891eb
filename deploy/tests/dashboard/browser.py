"""A headless Chromium, driven through its DevTools protocol over a pipe: nothing but Python is needed."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAMS = ("chromium", "chromium-headless-shell", "google-chrome", "chromium-browser")


def program():
    """The browser on this machine; none if there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Browser:
    """One browser; `page` opens a tab."""

    def __init__(self):
        # A browser now and then ends while it starts, without a word; what is tested comes after that.
        for more in (True, True, False):
            self.start()
            try:
                deadline = time.monotonic() + 60
                while not any(target["type"] == "page" for target in self.send("Target.getTargets")["targetInfos"]):
                    assert time.monotonic() < deadline, "its first page does not come"
                    self.receive(time.monotonic() + 0.05)
                return
            except AssertionError as problem:
                self.end()
                if not more:
                    raise
                print(f"the browser did not start, another one is tried: {problem}", flush=True)

    def start(self):
        self.folder = tempfile.mkdtemp(prefix="tributary-browser-")
        their_input, self.to = os.pipe()
        self.of, their_output = os.pipe()

        def pipes():
            # The browser reads commands at 3 and writes answers at 4; the copies may not be closed by what
            # is copied over.
            os.dup2(their_input, 10)
            os.dup2(their_output, 11)
            os.dup2(10, 3)
            os.dup2(11, 4)

        arguments = [
            program(), "--headless=new", "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={self.folder}",
            "--no-first-run", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "about:blank",
        ]
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(
            arguments, stdout=self.log, stderr=self.log, preexec_fn=pipes, close_fds=False, start_new_session=True)
        os.close(their_input)
        os.close(their_output)
        self.number = 0
        self.buffer = b""
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        # With the processes that it started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()
        os.close(self.to)
        os.close(self.of)
        shutil.rmtree(self.folder, ignore_errors=True)

    def receive(self, deadline):
        """The next message, or none when it is too late."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.of], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            part = os.read(self.of, 1 << 20)
            if not part:
                raise AssertionError(f"the browser ended with {self.process.wait()}: {open(self.log.name).read()[-2000:]}")
            self.buffer += part
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def send(self, method, session=None, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            try:
                data = data[os.write(self.to, data):]
            except BrokenPipeError:
                raise AssertionError(f"the browser ended with {self.process.wait()}: {open(self.log.name).read()[-2000:]}") from None
        deadline = time.monotonic() + 60
        while True:
            answer = self.receive(deadline)
            assert answer is not None, f"no answer to {method}"
            if answer.get("id") != self.number:
                self.events.append(answer)
            elif "error" in answer:
                raise AssertionError(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def page(self, width=1280, height=900, scale=1, mobile=False, dark=False):
        return Page(self, width, height, scale, mobile, dark)


class Page:
    """A tab, with everything that its console says."""

    def __init__(self, browser, width, height, scale, mobile, dark):
        self.browser = browser
        target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile)
        scheme = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def open(self, address):
        self.send("Page.navigate", url=address)

    def evaluate(self, expression):
        """The value of an expression on the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, what, expression, seconds=30):
        """Waits until an expression is true; its value."""
        deadline = time.monotonic() + seconds
        # A page that is just being opened has no parts.
        careful = f"(() => {{ try {{ return ({expression}); }} catch {{ return null; }} }})()"
        while True:
            value = self.evaluate(careful)
            if value:
                return value
            if time.monotonic() > deadline:
                text = self.evaluate("document.body.innerText.slice(0, 1500)")
                raise AssertionError(f"waited {seconds} s for {what}; the page says:\n{text}\n{self.errors()}")
            # Lets the page get on, and reads what it says meanwhile.
            message = self.browser.receive(time.monotonic() + 0.05)
            if message:
                self.browser.events.append(message)

    def errors(self, with_network=True):
        """What the console has to complain about."""
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(parameters["exceptionDetails"])[:500])
            elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(parameters["args"])[:500])
            elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                entry = parameters["entry"]
                if with_network or entry["source"] != "network":
                    found.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}"[:500])
        return found

    def key(self, key):
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def screenshot(self, path, whole=False):
        import base64
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))
