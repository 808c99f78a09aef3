"""Downloads of one file over HTTP: resumed, verified, and put in place by a rename.

A download grows in `NAME.part` beside its target. What the server said of the file (its ETag or date) is kept, and
sent back with the range asked for, so that the rest is joined only to the beginning of the same file.
"""

import contextlib
import http.client
import logging
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from zoo.errors import WeightsError
from zoo.weights.cache import PART_SUFFIX, drop_state, hash_file, locked, read_state, remember, write_state

logger = logging.getLogger("zoo.weights")

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30.0  # without a single byte
MAX_ATTEMPTS = 5
BACKOFF_S = 0.5  # before the second attempt; doubles with each further one
BUSY_STATUSES = (408, 425, 429, 500, 502, 503, 504)
LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")

ShowProgress = Callable[[int, int | None], None]


class ServerUnreachableError(WeightsError):
    """No connection could be made at all: the machine is offline, or the server is down."""


class _BrokenOffError(Exception):
    """The transfer ended before its time; another attempt may succeed."""


def check_url(url: str) -> None:
    """Raises WeightsError unless `url` is https, or http to this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS):
        return
    raise WeightsError(
        f"Weights are downloaded over https only, and {url} is not. Download it yourself and pass its path."
    )


def download(url: str, target: Path, *, sha256: str | None, progress: bool | None = None) -> Path:
    """Puts the file at `url` at `target`, unless a file is there already.

    sha256:   leading hex digits that the digest of what was downloaded must have; None checks nothing.
    progress: whether to draw a bar; None does if the standard error is a terminal.
    Returns:  `target`.
    Raises:   ServerUnreachableError if no connection could be made; WeightsError for everything else.
    """
    check_url(url)
    part = target.with_name(target.name + PART_SUFFIX)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if target.is_file():
                return target
            _fetch(url, target, part, show=sys.stderr.isatty() if progress is None else progress)
            found = None if sha256 is None else hash_file(part)
            if sha256 is not None and found is not None and not found.startswith(sha256.lower()):
                part.unlink()
                raise wrong_digest(url, expected=sha256, found=found, remedy="The file was not kept.")
            os.replace(part, target)
            remember(target, source=url, sha256=found)
            drop_state(target, "part.json")
    except OSError as error:
        raise WeightsError(f"{target} cannot be written: {error}. ZOO_CACHE can name another directory.") from error
    return target


def wrong_digest(source: str, *, expected: str, found: str, remedy: str) -> WeightsError:
    """The error for a file that is not the one that was published."""
    return WeightsError(
        f"{source} is not the file it should be. Expected a sha256 that starts with {expected.lower()}, "
        f"got {found}. {remedy} It is damaged, or was replaced where it comes from."
    )


def _fetch(url: str, target: Path, part: Path, *, show: bool) -> None:
    """Makes `part` whole, in several attempts if connections break."""
    total = read_state(target, "part.json").get("total")
    if part.is_file() and part.stat().st_size == total:
        return
    reason = ""
    with _bar(target.name, show=show) as show_progress:
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                logger.info("%s; trying again (%d of %d).", reason, attempt + 1, MAX_ATTEMPTS)
                time.sleep(BACKOFF_S * 2 ** (attempt - 1))
            try:
                _transfer(url, target, part, show_progress)
                return
            except _BrokenOffError as error:
                reason = str(error)
    raise WeightsError(
        f"The download of {url} broke off {MAX_ATTEMPTS} times: {reason}. {_kept(target, part)} "
        "Try again later, or download the file yourself and pass its path as weights='path/to/file'."
    )


def _transfer(url: str, target: Path, part: Path, show_progress: ShowProgress) -> None:
    """One attempt: asks for what is missing of `part` and appends it.

    Raises: _BrokenOffError if another attempt may succeed.
    """
    start, headers = _resume_from(url, target, part)
    with contextlib.closing(_open(url, headers, target, part)) as response:
        if response.status == 206 and not _continues(response, start):
            part.unlink(missing_ok=True)
            raise _BrokenOffError("the server sent another range than the one asked for")
        if response.status != 206:
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length and length.isdigit() else None
        _check_space(part, needed=total - start if total is not None else 0)
        validator = _validator(response)
        write_state(target, "part.json", {"source": url, "validator": validator, "total": total})
        with open(part, "ab" if start else "wb") as file:
            size = _copy(response, file, start, total, show_progress)
    if total is not None and size != total:
        raise _BrokenOffError(f"the connection ended after {size:,} of {total:,} bytes")


def _resume_from(url: str, target: Path, part: Path) -> tuple[int, dict[str, str]]:
    """How many bytes are there already, and the headers that ask for the rest of the very same file."""
    record = read_state(target, "part.json")
    if not part.is_file() or record.get("source") != url or not record.get("validator"):
        return 0, {}
    start = part.stat().st_size
    return (start, {"Range": f"bytes={start}-", "If-Range": str(record["validator"])}) if start else (0, {})


def _open(url: str, headers: dict[str, str], target: Path, part: Path) -> http.client.HTTPResponse:
    """The server's answer, sorted into: an answer, worth another attempt, or an error for the user."""
    request = urllib.request.Request(url, headers={"User-Agent": "domain-zoo", **headers})
    opener = urllib.request.build_opener(_CheckedRedirects)
    try:
        return opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and headers:
            part.unlink(missing_ok=True)
            raise _BrokenOffError("the part that was there does not fit the file") from error
        if error.code in BUSY_STATUSES:
            raise _BrokenOffError(f"the server answered {error.code} {error.reason}") from error
        raise WeightsError(
            f"{url} cannot be downloaded: the server answered {error.code} {error.reason}. "
            "If the file has moved, download it yourself and pass its path as weights='path/to/file'."
        ) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise WeightsError(
                f"{urlsplit(url).netloc} does not show a certificate that this machine trusts: {error.reason}. "
                "SSL_CERT_FILE names a file with the certificates to trust."
            ) from error
        if isinstance(error.reason, (TimeoutError, ConnectionResetError)):
            raise _BrokenOffError(f"no answer: {error.reason}") from error
        raise ServerUnreachableError(
            f"{urlsplit(url).netloc} cannot be reached: {error.reason}. {_kept(target, part)}"
        ) from error
    except (http.client.HTTPException, OSError) as error:
        raise _BrokenOffError(f"no answer: {error or type(error).__name__}") from error


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only (from this machine, to this machine too)."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        check_url(newurl)
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise WeightsError(f"{req.full_url} leads on to {newurl}, which is not https.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _continues(response: http.client.HTTPResponse, start: int) -> bool:
    """Whether a partial answer begins where the part ends."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == start


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What identifies this version of the file: a strong ETag, else its date."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _check_space(part: Path, *, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise WeightsError(
            f"{part.parent} has {free:,} bytes free and the download needs {needed:,}. "
            "Free some (`zoo weights` shows what the cache holds), or name another directory in ZOO_CACHE."
        )


def _copy(
    response: http.client.HTTPResponse, file: IO[bytes], size: int, total: int | None, show_progress: ShowProgress
) -> int:
    """Copies to the end of the answer; returns the size of the file then."""
    while True:
        show_progress(size, total)
        try:
            chunk = response.read1(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenOffError(f"the connection ended after {size:,} bytes: {error!r}") from error
        if not chunk:
            return size
        file.write(chunk)
        size += len(chunk)


def _kept(target: Path, part: Path) -> str:
    """What is there of a download that was broken off."""
    if not part.is_file() or not read_state(target, "part.json").get("validator"):
        return "Nothing of it was kept."
    return f"{part.stat().st_size:,} bytes are kept in {part}, and the next call goes on from there."


@contextlib.contextmanager
def _bar(name: str, *, show: bool) -> Iterator[ShowProgress]:
    """A progress bar on the standard error, or nothing."""
    if not show:
        yield lambda completed, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)
        yield lambda completed, total: bar.update(task, completed=completed, total=total)
