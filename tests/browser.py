"""A headless Chromium, driven through DevTools over a pair of pipes."""

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

CHROMIUM = shutil.which("chromium")

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]


class Browser:
    """One tab. What it asks of any network, and what its scripts throw or log, is kept.

    Attributes:
        requests: Addresses asked for, but for the page itself and `data:`.
        complaints: Errors, and what a Content-Security-Policy refused.
    """

    def __init__(self, folder: Path) -> None:
        read, self.into = os.pipe()
        self.out, write = os.pipe()

        def at_three_and_four() -> None:
            ends = os.dup(read), os.dup(write)  # neither of which is 3 or 4 by now
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=at_three_and_four,
            pass_fds=(3, 4, read, write),
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self.number, self.left, self.session = 0, b"", None
        self.requests, self.complaints, self.events = [], [], []
        (tab,) = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=tab["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, EOFError):
            self.session = None
            self.call("Browser.close")
        self.process.wait()
        os.close(self.into)
        os.close(self.out)

    def message(self) -> dict:
        """The next one."""
        while b"\0" not in self.left:
            more = os.read(self.out, 1 << 20)
            if not more:
                raise EOFError("the browser is gone")
            self.left += more
        text, _, self.left = self.left.partition(b"\0")
        return json.loads(text)

    def note(self, message: dict) -> None:
        """Keeps what an event tells."""
        name, told = message.get("method"), message.get("params", {})
        self.events.append(name)
        if name == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("data:", "file:")):
            self.requests.append(told["request"]["url"])
        if name == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"])
        if name == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"]["text"])

    def call(self, method: str, **parameters: object) -> dict:
        """The answer to a command."""
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.into, json.dumps(command).encode() + b"\0")
        while (answer := self.message()).get("id") != self.number:
            self.note(answer)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def open(self, page: Path, width: int = 1300, height: int = 900) -> None:
        """Loads a file, and waits until it is loaded and drawn."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.call("Page.navigate", url=page.absolute().as_uri())
        while "Page.loadEventFired" not in self.events:
            self.note(self.message())
        self.settle()

    def run(self, script: str) -> object:
        """The value of an expression, or of a promise for one, in the page."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description"))
        return answer["result"].get("value")

    def settle(self) -> None:
        """Waits for what is drawn at the next frames."""
        frame = "new Promise((go) => requestAnimationFrame(go))"
        self.run(f"(async () => {{ for (let k = 0; k < 5; k += 1) await {frame}; }})()")

    def press(self, key: str, code: int, text: str = "") -> None:
        """A key, as from a keyboard."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)
        self.settle()

    def drag(self, begin: Sequence[float], end: Sequence[float], *, shift: bool = False, clicks: int = 1) -> None:
        """The mouse, pressed at one place in sight and released at another; a click, or several, if they are one."""
        middle = [(one + other) / 2 for one, other in zip(begin, end, strict=True)]
        moves = [("mouseMoved", middle), ("mouseMoved", end)] if end != begin else []
        for count in range(1, clicks + 1):
            for kind, (x, y) in [("mousePressed", begin), *moves, ("mouseReleased", end)]:
                held = {"button": "left", "buttons": 1, "clickCount": count, "modifiers": 8 * shift}
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)
        self.settle()

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Writes what is seen, or the whole page, as a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(b64decode(shot["data"]))
