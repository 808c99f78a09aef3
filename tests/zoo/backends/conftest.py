"""A small stand-in for the Hugging Face Hub on this machine, and empty caches for every test."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of the zoo, torch.hub and the Hugging Face Hub, with the network off."""
    from huggingface_hub import constants

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "zoo-cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    return tmp_path


class Hub(http.server.ThreadingHTTPServer):
    """Serves the files below `root/OWNER/REPO` under the addresses of the hub; `requests` are the paths asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.requests: list[str] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        self.server.requests.append(self.path)
        owner, _, rest = self.path.strip("/").partition("/")
        name, _, rest = rest.partition("/resolve/")
        path = self.server.root / owner / name / rest.partition("/")[2]
        if owner == "api":
            self._send(200, json.dumps({"sha": COMMIT, "siblings": []}).encode(), with_body=with_body)
        elif path.is_file():
            self._send(200, path.read_bytes(), with_body=with_body)
        else:
            self._send(404, b"", with_body=with_body)

    def _send(self, status: int, content: bytes, *, with_body: bool) -> None:
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)


@pytest.fixture
def hub(tmp_path: Path, caches: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in, to which huggingface_hub's requests go, with the network on."""
    from huggingface_hub import constants

    server = Hub(tmp_path / "hub")
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("ZOO_OFFLINE", "0")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
