"""A headless Chromium, driven over a pipe by the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
CODES = {"Enter": 13, "Escape": 27}
CODES |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """One page of a Chromium with its profile in a folder; use it as a context manager."""

    def __init__(self, profile: Path):
        from_us, self._to = os.pipe()
        self._from, to_us = os.pipe()
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        command += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        # The protocol wants the pipes as file descriptors 3 and 4.
        shell = ["bash", "-c", f'exec 3<&{from_us} 4>&{to_us}; exec "$@"', "browser", *command]
        self._process = subprocess.Popen(
            shell, pass_fds=(from_us, to_us), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(from_us)
        os.close(to_us)
        self._read = os.fdopen(self._from, "rb")
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.errors: list[str] = []  # exceptions and messages of the console
        (target,) = [
            each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"
        ]
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_) -> None:
        self._session = None
        self.call("Browser.close")
        self._process.wait(20)
        self._read.close()
        os.close(self._to)

    def call(self, method: str, **parameters) -> dict:
        """The result of a method of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (found := self._receive()).get("id") != self._number:
            self._note(found)
        assert "error" not in found, found["error"]
        return found["result"]

    def _receive(self) -> dict:
        while b"\0" not in self._buffer:
            read = self._read.read1(2**16)
            assert read, "Chromium has ended"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict) -> None:
        kind, about = event.get("method"), event.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.errors.append(about["exceptionDetails"]["exception"]["description"])
        elif kind == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.errors.append(about["entry"]["text"])
        elif kind == "Page.javascriptDialogOpening":
            self.errors.append(f"a dialog: {about['message']}")
            raise AssertionError(self.errors[-1])

    def open(self, page: Path, *, width: int = 1280, height: int = 860, dark: bool = False) -> None:
        """Load a page from file:// and wait until it has run."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait("document.readyState === 'complete'")

    def value(self, expression: str) -> object:
        """The value of an expression in the page; promises are awaited."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true, at most 10 s."""
        self.value(
            "new Promise((done, fail) => { const start = performance.now(); const look = () => "
            f"({condition}) ? done() : performance.now() - start > 10000 ? "
            f"fail(new Error({json.dumps(condition)})) : setTimeout(look, 20); look(); }})"
        )

    def press(self, *keys: str) -> None:
        """Press keys in turn: "a", "ArrowLeft", "Enter"."""
        for key in keys:
            event = {"key": key, "windowsVirtualKeyCode": CODES.get(key) or ord(key.upper())}
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
            self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def screenshot(self, path: Path) -> None:
        found = self.call("Page.captureScreenshot")
        path.write_bytes(base64.b64decode(found["data"]))
