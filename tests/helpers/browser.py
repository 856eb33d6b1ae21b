"""Debian's headless Chromium, driven over its DevTools protocol: JSON through two pipes, so no library and no open port."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

# Its wrapper on Debian keeps the pipes. The shell gives it 3 to read from and 4 to write to.
_SHELL = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars=false"),
    # Nothing is reached: a page that asked for something outside would get no answer.
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-precise-memory-info", "--js-flags=--expose-gc"),
)
_KEYS = {"Enter": 13, "Escape": 27, "PageUp": 33, "PageDown": 34, "End": 35, "Home": 36}
_KEYS |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """A process of Chromium with one page. `said`: what the page wrote to its console, and its errors."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("chromium")
        if program is None:
            pytest.skip("chromium is not installed: Debian's chromium")
        command = ["sh", "-c", _SHELL, "sh", program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self._number, self._buffer, self.said, self.asked = 0, b"", [], []
        self._session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """One command of the protocol, and what it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self):
        while b"\0" not in self._buffer:
            more = os.read(self.process.stdout.fileno(), 1 << 20)
            assert more, "chromium ended"
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        method, params = message.get("method"), message.get("params", {})
        if method in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.said.append(json.dumps(params))
        if method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        return message

    def size(self, width, height, *, phone=False, scale=1):
        """The window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    def dark(self, dark):
        """What the system prefers."""
        value = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def open(self, path, fragment=""):
        """Open a file, and wait until it has loaded. `said` and `asked` are then of this page alone.

        What the page before was still loading may have gone with its test's folder.
        """
        for url in ("about:blank", Path(path).resolve().as_uri() + fragment):
            self.call("Page.navigate", url=url)
            self.wait(
                f"location.href.startsWith({json.dumps(url.partition('#')[0])}) && document.readyState === 'complete'"
            )
            if url == "about:blank":
                self.said.clear()
                self.asked.clear()

    def run(self, expression):
        """The value of a JavaScript expression in the page, awaited."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression, seconds=20):
        """Until the expression is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)
        return value

    def key(self, key, modifiers=0):
        """A key pressed and let go, as by a hand."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = {"windowsVirtualKeyCode": _KEYS.get(key, ord(key.upper()[0]))}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers, **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=modifiers, **code)

    def mouse(self, kind, x, y, **more):
        """mousePressed, mouseMoved, mouseReleased or mouseWheel at a point of the window."""
        button = {} if kind == "mouseWheel" else {"button": "left", "buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **(button | more))

    def click(self, selector):
        """Click in the middle of what a CSS selector finds first."""
        x, y = self.middle(selector)
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def middle(self, selector):
        """The middle of what a CSS selector finds first."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        return self.run(f"(box => [box.left + box.width / 2, box.top + box.height / 2])({box})")

    def shot(self, path):
        """A picture of the window, as PNG."""
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        """End the process, by asking it."""
        self._session = None
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
