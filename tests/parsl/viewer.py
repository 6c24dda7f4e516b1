"""A parsl-visualize in a process of its own, as a user starts it."""

from __future__ import annotations

import html.parser
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DEADLINE_S = 60
"""Only a failure takes so long."""

_READY = re.compile(r"Running on (http://\S+)")


class Viewer:
    """parsl-visualize on a database, until it is closed."""

    def __init__(self, endpoint: str, log_path: pathlib.Path) -> None:
        program = pathlib.Path(sys.executable).with_name("parsl-visualize")
        self._log = log_path
        with open(self._log, "w") as log:
            # Port 0: the system chooses, and the viewer says which.
            command = [str(program), endpoint, "--port", "0"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self.address = self._ready_address()
        except BaseException:
            self.close()
            raise

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def local_links(self, path: str, page: str) -> list[str]:
        """Paths of the viewer's own pages to which this one links."""
        parser = _Links()
        parser.feed(page)
        targets = [urllib.parse.urljoin(self.address + path, target) for target in parser.targets]
        return [target.removeprefix(self.address) for target in targets if target.startswith(self.address)]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE_S)

    def log(self) -> str:
        """What it has said so far: the stack of a page that failed is in it."""
        return self._log.read_text()

    def _ready_address(self) -> str:
        end = time.monotonic() + DEADLINE_S
        while (ready := _READY.search(self.log())) is None:
            assert self._process.poll() is None, f"parsl-visualize ended: {self.log()}"
            assert time.monotonic() < end, f"parsl-visualize is not ready: {self.log()}"
            time.sleep(0.05)
        return ready[1]


class _Links(html.parser.HTMLParser):
    """The targets of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            self.targets.append(urllib.parse.urldefrag(target).url)
