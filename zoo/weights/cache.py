"""The cache of downloaded weights: where it is, what it holds, and which files were verified.

`weights/` below the cache directory mirrors the addresses: host, then path. `weights-state/` holds one small record
per file with its sha256, size and time of change, so that a file is hashed again only after it changed.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

from zoo.errors import WeightsError, check_name

logger = logging.getLogger("zoo.weights")

PART_SUFFIX = ".part"


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFile:
    """One file of the cache; a name that ends in ".part" is a download that was broken off.

    name:      path below the cache's `weights/`, with forward slashes.
    source:    address it came from, "" if not known.
    sha256:    all 64 hex digits, "" if it was never verified or changed since.
    modified:  local time of the last change.
    """

    name: str
    path: Path
    num_bytes: int
    source: str
    sha256: str
    modified: datetime


def cache_dir() -> Path:
    """The directory of everything the zoo keeps: `ZOO_CACHE`, else `domain-zoo` in the platform's cache."""
    chosen = os.environ.get("ZOO_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "domain-zoo"


def cache_path(url: str) -> Path:
    """The place in the cache for the file at `url`; two addresses never share one."""
    parts = urlsplit(url)
    steps = [re.sub(r"[^A-Za-z0-9._+-]", "_", unquote(step)) for step in [parts.netloc, *parts.path.split("/")] if step]
    if any(set(step) <= {"."} for step in steps) or len(steps) < 2:
        raise WeightsError(f"{url} does not name a file. Expected an address such as https://host/path/model.pth.")
    plain = f"https://{'/'.join(steps)}"
    if plain != url:
        # The address holds a query or characters that were replaced: a digest keeps it apart from its look-alikes.
        stem, dot, suffix = steps[-1].rpartition(".")
        digest = hashlib.sha256(url.encode()).hexdigest()[:8]
        steps[-1] = f"{stem}-{digest}.{suffix}" if dot else f"{suffix}-{digest}"
    return _files_dir().joinpath(*steps)


def cached_files() -> list[CachedFile]:
    """What the cache holds, by name. Files that the Hugging Face Hub library keeps are in its own cache."""
    return [_describe(path) for path in _all_files()]


def clear_cache(names: Iterable[str] | None = None) -> int:
    """Deletes files of the cache, all of them if `names` is None; a file being downloaded now is kept.

    names:   names as `cached_files` gives them, or their last part alone.
    Returns: bytes freed.
    Raises:  UnknownNameError if a name is not in the cache; then nothing is deleted.
    """
    paths = _all_files()
    if names is not None:
        wanted = [names] if isinstance(names, str) else list(names)
        known = {_name(path): path for path in paths}
        short = {path.name for path in paths}
        for name in wanted:
            check_name("cached file", name, [*known, *short] if name in short else known)
        paths = [path for name, path in known.items() if name in wanted or path.name in wanted]
    return sum(_delete(path) for path in paths)


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float = -1) -> Iterator[None]:
    """Holds the lock of a cached file against other processes; a negative `timeout_s` waits for ever.

    Raises: filelock.Timeout if another process holds the lock all that time.
    """
    with FileLock(_state_path(path, "lock", create=True), timeout=timeout_s):
        yield


def hash_file(path: Path) -> str:
    """The sha256 of a file in 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(path: Path, *, source: str) -> str:
    """As `hash_file`, or from the file's record if size and time of change still agree with it."""
    known = _known_digest(path)
    if known:
        return known
    status = path.stat()  # before hashing: a change in between is noticed next time
    found = hash_file(path)
    remember(path, source=source, sha256=found, status=status)
    return found


def remember(path: Path, *, source: str, sha256: str | None, status: os.stat_result | None = None) -> None:
    """Records where a file came from, and the digest it was found to have; None if it was not hashed."""
    status = status or path.stat()
    record = {"path": str(path), "source": source, "num_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    write_state(path, "json", record if sha256 is None else {**record, "sha256": sha256})


def forget(path: Path) -> None:
    """Removes a file of the cache and its records; that there is none is no error."""
    path.unlink(missing_ok=True)
    for kind in ("json", "part.json"):
        drop_state(path, kind)


def read_state(path: Path, kind: str) -> dict[str, Any]:
    """A record about the file at `path`, empty if there is none that can be read."""
    try:
        record = json.loads(_state_path(path, kind).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_state(path: Path, kind: str, record: dict[str, Any]) -> None:
    """Keeps a record about the file at `path`. A cache that cannot be written costs time at the next call only."""
    try:
        target = _state_path(path, kind, create=True)
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(record), encoding="utf-8")
        os.replace(temporary, target)
    except OSError as error:
        logger.debug("No record of %s is kept: %s", path, error)


def drop_state(path: Path, kind: str) -> None:
    """Removes a record about the file at `path`; that there is none is no error."""
    _state_path(path, kind).unlink(missing_ok=True)


def _files_dir() -> Path:
    return cache_dir() / "weights"


def _state_path(path: Path, kind: str, *, create: bool = False) -> Path:
    """The place of a record or lock about the file at `path`, which may lie outside the cache."""
    directory = cache_dir() / "weights-state"
    if create:
        directory.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(os.path.abspath(path).encode()).hexdigest()[:32]
    return directory / f"{key}.{kind}"


def _known_digest(path: Path) -> str:
    """The recorded sha256 of a file that has not changed since, else ""."""
    record, now = read_state(path, "json"), path.stat()
    unchanged = (record.get("num_bytes"), record.get("mtime_ns")) == (now.st_size, now.st_mtime_ns)
    return str(record["sha256"]) if unchanged and "sha256" in record else ""


def _all_files() -> list[Path]:
    directory = _files_dir()
    return sorted(path for path in directory.rglob("*") if path.is_file()) if directory.is_dir() else []


def _name(path: Path) -> str:
    return path.relative_to(_files_dir()).as_posix()


def _whole(path: Path) -> Path:
    """The file that a part belongs to; any other file itself."""
    return path.with_name(path.name.removesuffix(PART_SUFFIX))


def _describe(path: Path) -> CachedFile:
    status = path.stat()
    record = read_state(_whole(path), "json") or read_state(_whole(path), "part.json")
    return CachedFile(
        name=_name(path),
        path=path,
        num_bytes=status.st_size,
        source=str(record.get("source", "")),
        sha256=_known_digest(path),
        modified=datetime.fromtimestamp(status.st_mtime),
    )


def _delete(path: Path) -> int:
    """Deletes one file and the directories that become empty; 0 bytes if another process is downloading it."""
    try:
        with locked(_whole(path), timeout_s=0):
            num_bytes = path.stat().st_size
            forget(path)
    except Timeout:
        logger.warning("%s is being downloaded by another process and was kept.", path)
        return 0
    for directory in path.relative_to(_files_dir()).parents:
        with contextlib.suppress(OSError):  # not empty
            (_files_dir() / directory).rmdir()
    return num_bytes
