"""A file server on this machine that can misbehave, and a cache of its own for every test."""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from zoo.records import Weights
from zoo.weights import download

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes


@dataclass
class FileServer:
    """What the server sends and how it fails; `requests` holds the headers of every request.

    cuts:        bytes after which each of the next answers ends, in order.
    statuses:    statuses of the next answers, in order, before any file is sent.
    ranges:      whether it answers to a range with a part.
    etag:        what it says of the file's version.
    redirect:    address that it sends everyone to.
    pause_s:     how long it waits before the body, seconds.
    stop:        shuts it down.
    """

    url: str
    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    etag: str | None = '"one"'
    redirect: str | None = None
    pause_s: float = 0.0
    stop: Callable[[], None] = lambda: None
    requests: list[dict[str, str]] = field(default_factory=list)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def weights(self, sha256: str | None = None, source: str | None = None) -> Weights:
        return Weights(tag="test", source=source or self.url, sha256=sha256 or self.sha256, licence="MIT")


def _handler(state: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_GET(self):
            state.requests.append(dict(self.headers))
            self.close_connection = True
            if state.statuses:
                self.send_error(state.statuses.pop(0))
                return
            if state.redirect:
                self.send_response(302)
                self.send_header("Location", state.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = 0
            asked = self.headers.get("Range")
            if asked and state.ranges and self.headers.get("If-Range") == state.etag:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
            body = state.content[start:]
            if start:
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            else:
                self.send_response(200)
            if state.etag:
                self.send_header("ETag", state.etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            time.sleep(state.pause_s)
            self.wfile.write(body[: state.cuts.pop(0)] if state.cuts else body)

    return Handler


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The cache of one test; the network is on, and retries do not wait."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(download, "BACKOFF_S", 0.001)
    return tmp_path / "cache"


@pytest.fixture
def server():
    """A running FileServer, stopped by the test or after it."""
    state = FileServer(url="")
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.url = f"http://127.0.0.1:{http.server_port}/models/net-1234.pth"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    def stop():
        http.shutdown()
        http.server_close()
        thread.join()

    state.stop = stop
    yield state
    if thread.is_alive():
        stop()
