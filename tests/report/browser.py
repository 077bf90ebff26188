"""Headless Chromium over its DevTools protocol, on two pipes: no driver, no socket, no library."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = "chromium"
ANSWER_SECONDS = 60.0  # a page of a thousand instances is printed on a busy machine
GRACE_SECONDS = 10.0
#: Events of a page that are kept.
KEPT = (
    *("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded", "Audits.issueAdded"),
    *("Page.javascriptDialogOpening", "Page.windowOpen", "Page.downloadWillBegin"),
)


class Refusal(Exception):
    """The browser refused a command; its own message."""


class Browser:
    """A browser with one page. Resolves no host name, and keeps what it stores under `home`.

    Attributes:
        messages: what the page caused: console messages, exceptions, violated policies, dialogs.
        requests: every address that the page asked for, itself included.
    """

    def __init__(self, home: Path) -> None:
        program = shutil.which(PROGRAM)
        if program is None:
            raise Refusal(f"there is no {PROGRAM} here: .ci/chromium installs it")
        self.messages: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self._events: list[dict[str, Any]] = []
        self._number, self._rest, self._session = 0, b"", ""
        options = [
            *(
                "--headless=new",
                "--remote-debugging-pipe",
                f"--user-data-dir={home}",
                "--no-first-run",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ),
            *(
                "--disable-background-networking",
                "--disable-component-update",
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            ),
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ]
        self._in, self._out, self._process = _spawn([program, *options, "about:blank"], home / "chromium.log")
        target = next(one for one in self._do("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self._do("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits", "DOM", "Accessibility"):
            self._do(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and wait until it has ended."""
        os.close(self._in)
        until = time.monotonic() + GRACE_SECONDS
        while os.waitpid(self._process, os.WNOHANG) == (0, 0):
            if time.monotonic() > until:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process, signal.SIGKILL)
            time.sleep(0.02)
        os.close(self._out)

    def open(self, address: str) -> None:
        """Load the page, and wait for all that it loads."""
        self.messages.clear()
        self.requests.clear()
        self._events.clear()
        if problem := self._do("Page.navigate", url=address).get("errorText"):
            raise Refusal(problem)
        self._await("Page.loadEventFired")
        # Late requests (an icon) and messages (a violated policy) have arrived by the second frame.
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))")

    def run(self, script: str) -> Any:
        """The script's value, a promise's result if it is one. Raises Refusal where it throws."""
        answer = self._do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise Refusal(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def look(self, width: int = 1280, height: int = 900, dark: bool = False, paper: bool = False) -> None:
        """See the page in a window of such a size, light or dark, on a screen or on paper."""
        self._do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._do("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=features)

    def press(self, key: str) -> None:
        """Press a key, `Tab` or `Enter`."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        for kind in ("keyDown", "keyUp"):
            self._do(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                text=text if kind == "keyDown" else "",
            )

    def click(self, selector: str) -> None:
        """Click into the first such element's middle."""
        place = self.run(
            "(one => { one.scrollIntoView({block: 'center', behavior: 'instant'});"
            " const box = one.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2] }"
            f")(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._do("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def tree(self) -> list[dict[str, Any]]:
        """The accessibility tree, node by node."""
        nodes: list[dict[str, Any]] = self._do("Accessibility.getFullAXTree")["nodes"]
        return [node for node in nodes if not node["ignored"]]

    def print(self) -> bytes:
        """The page as it prints on A4 from a dark desktop, as PDF."""
        self._do("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        return base64.b64decode(self._do("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"])

    def shoot(self) -> bytes:
        """The whole page, as PNG."""
        return base64.b64decode(
            self._do("Page.captureScreenshot", captureBeyondViewport=True, clip=self._whole())["data"]
        )

    def _whole(self) -> dict[str, float]:
        size = self._do("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12_000), "scale": 1}

    def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = json.dumps({"id": self._number, "method": method, "params": parameters, **session}).encode() + b"\0"
        while message:
            message = message[os.write(self._in, message) :]
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise Refusal(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def _await(self, event: str) -> None:
        while all(one["method"] != event for one in self._events):
            self._read()

    def _read(self) -> dict[str, Any]:
        """The next message, which is kept if it is about the page. Raises Refusal where none comes in time."""
        while b"\0" not in self._rest:
            if not select.select([self._out], [], [], ANSWER_SECONDS)[0]:
                raise Refusal(f"no answer in {ANSWER_SECONDS:g} s")
            more = os.read(self._out, 1 << 20)
            if not more:
                raise Refusal("it has ended")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self._events.append(message)
            if message["method"] in KEPT:
                self.messages.append(message)
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
        return message


def _spawn(command: list[str], log: Path) -> tuple[int, int, int]:
    """Start it with its orders on descriptor 3 and its answers on 4: (where to write, where to read, process id)."""
    # Away from 3 and 4: one of the two would be overwritten before it is copied.
    (their_in, ours_in), (ours_out, their_out) = (map(_high, pair) for pair in (os.pipe(), os.pipe()))
    actions = [(os.POSIX_SPAWN_DUP2, their_in, 3), (os.POSIX_SPAWN_DUP2, their_out, 4)]
    with log.open("wb") as file:
        redirected: list[Any] = [
            *actions,
            (os.POSIX_SPAWN_DUP2, file.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, file.fileno(), 2),
        ]
        process = os.posix_spawn(command[0], command, dict(os.environ), file_actions=redirected)
    os.close(their_in)
    os.close(their_out)
    return ours_in, ours_out, process


def _high(descriptor: int) -> int:
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy
