"""Chromium without a window, driven by its DevTools protocol over a pipe. It reaches no other host.

with Browser("/usr/bin/chromium", tmp_path) as browser:
    browser.open("http://127.0.0.1:8000/", width=400)
    browser.run("document.title")
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-pipe",
]
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
# Chromium reads commands from file 3, and writes answers to file 4.
LAUNCH = """import os, sys
read, write, *command = sys.argv[1:]
os.dup2(int(read), 3)
os.dup2(int(write), 4)
os.execv(command[0], command)"""
PATIENCE = 60.0  # seconds for one answer, on a busy machine


class Browser:
    """One tab, and what went wrong on the page that it shows."""

    def __init__(self, path, profile):
        theirs, self._out = _pipe()
        self._in, answers = _pipe()
        command = [path, *FLAGS, OFFLINE, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(theirs), str(answers), *command],
            pass_fds=(theirs, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(answers)
        self._unread, self._number, self._session, self._events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method, **params):
        """The answer to a command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self._events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def run(self, script):
        """The value of a JavaScript expression; of a promise, what it comes to."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, script):
        """Wait until a JavaScript expression is true."""
        until = time.monotonic() + PATIENCE
        while not self.run(f"Boolean({script})"):
            if time.monotonic() > until:
                raise TimeoutError(script)
            time.sleep(0.02)

    def size(self, width, height=800, scale=1, *, dark=False, still=False):
        """Set the window's size in CSS pixels, the colour scheme, and whether things may move."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, motion])

    def open(self, url):
        """Load a page, and its pictures, whole."""
        self._events.clear()
        loader = self.call("Page.navigate", url=url)["loaderId"]
        while not any(
            event["params"]["name"] == "load" and event["params"]["loaderId"] == loader
            for event in self._events
            if event["method"] == "Page.lifecycleEvent"
        ):
            self._events.append(self._read())

    def mouse(self, x, y, *, to=None):
        """Click at a point of the window, or drag from there."""
        points = [("mousePressed", (x, y)), ("mouseReleased", to or (x, y))]
        if to:
            points[1:1] = [("mouseMoved", ((x + to[0]) / 2, (y + to[1]) / 2)), ("mouseMoved", to)]
        for kind, (px, py) in points:
            button = {"button": "left", "buttons": 1, "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, x=px, y=py, **button)

    def key(self, key, text=""):
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)

    def picture(self, file, clip=None):
        """Write what the window shows to a file."""
        data = self.call("Page.captureScreenshot", format="png", **({"clip": clip} if clip else {}))
        with open(file, "wb") as out:
            out.write(base64.b64decode(data["data"]))

    def requests(self):
        """The addresses that the page has asked for."""
        return [e["params"]["request"]["url"] for e in self._of("Network.requestWillBeSent")]

    def errors(self):
        """What the console says is wrong: exceptions, errors, what could not be loaded."""
        said = [e["params"]["exceptionDetails"] for e in self._of("Runtime.exceptionThrown")]
        said += [e["params"] for e in self._of("Runtime.consoleAPICalled") if _is_bad(e, "type")]
        return said + [
            e["params"]["entry"]
            for e in self._of("Log.entryAdded")
            if e["params"]["entry"]["level"] == "error"
        ]

    def _of(self, method):
        self.run("0")  # what was said before this is here then
        return [event for event in self._events if event["method"] == method]

    def _read(self):
        while b"\0" not in self._unread:
            if not select.select([self._in], [], [], PATIENCE)[0]:
                raise TimeoutError("the browser does not answer")
            data = os.read(self._in, 1 << 16)
            if not data:
                raise RuntimeError(f"the browser has ended with {self._process.wait()}")
            self._unread += data
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)


def _is_bad(event, name):
    return event["params"][name] in ("error", "assert", "warning")


def _pipe():
    """The ends of a pipe, with numbers above those that the browser expects."""
    ends = os.pipe()
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in ends]
    for fd in ends:
        os.close(fd)
    return moved
