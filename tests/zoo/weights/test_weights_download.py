"""Downloads from a server that cuts, lies, moves and dies."""

import errno
import multiprocessing
import os
import shutil
import time
from collections import namedtuple

import pytest

from zoo.errors import WeightsError
from zoo.records import Weights
from zoo.weights import cached_files, download, resolve
from zoo.weights.cache import cache_path

LONG_CUT = 300_000  # bytes of the 512,000


def cached(server):
    return cache_path(server.url)


def part_of(server):
    return cached(server).with_name(cached(server).name + ".part")


def test_file_arrives_whole_and_only_once(server):
    """Fails if the second call asks the network again."""
    path = resolve(server.weights())
    assert path.read_bytes() == server.content
    assert resolve(server.weights()) == path
    assert len(server.requests) == 1
    assert not part_of(server).exists()


def test_published_prefix_in_capitals_is_enough(server):
    """Fails if only full hashes or only lower-case ones are compared."""
    assert resolve(server.weights(server.sha256[:8].upper())).is_file()


@pytest.mark.parametrize("sha256", ["", "1234567", "not-a-hash", "0" * 65])
def test_hash_that_checks_nothing_is_refused(server, sha256):
    """Fails if an empty or short hash passes for a check."""
    record = server.weights()
    object.__setattr__(record, "sha256", sha256)
    with pytest.raises(WeightsError, match="8 to 64 hex digits"):
        resolve(record)
    assert not server.requests
    assert resolve(record, check_hash=False).read_bytes() == server.content


def test_wrong_hash_is_refused_and_not_kept(server):
    """Fails if a replaced file stays in the cache under the good name."""
    with pytest.raises(WeightsError, match="Expected a sha256 that starts with deadbeef") as raised:
        resolve(server.weights("deadbeef"))
    assert server.sha256 in str(raised.value)
    assert cached_files() == []
    with pytest.raises(WeightsError):
        resolve(server.weights("deadbeef"), offline=True)


def test_cut_connection_resumes_within_one_call(server):
    """Fails if a cut body is taken for the whole, or the part is fetched again."""
    server.cuts = [LONG_CUT]
    assert resolve(server.weights(), check_hash=False).read_bytes() == server.content
    assert [request.get("Range") for request in server.requests] == [None, f"bytes={LONG_CUT}-"]
    assert server.requests[1]["If-Range"] == '"one"'


def test_server_gone_midway_then_back(server, monkeypatch):
    """Fails if the part of a broken-off download is lost, or not used by the next call."""
    monkeypatch.setattr(download, "MAX_ATTEMPTS", 2)
    server.cuts = [LONG_CUT, 1000]
    with pytest.raises(WeightsError, match="broke off 2 times") as raised:
        resolve(server.weights())
    assert f"{LONG_CUT + 1000:,} bytes are kept in {part_of(server)}" in str(raised.value)
    assert not cached(server).exists()
    assert [file.name.endswith(".part") for file in cached_files()] == [True]
    assert resolve(server.weights()).read_bytes() == server.content
    assert server.requests[-1]["Range"] == f"bytes={LONG_CUT + 1000}-"
    assert [file.name.endswith(".part") for file in cached_files()] == [False]


def test_changed_file_is_not_joined_to_the_old_part(server, monkeypatch):
    """Fails without If-Range: the halves of two versions would be joined."""
    monkeypatch.setattr(download, "MAX_ATTEMPTS", 1)
    server.cuts = [LONG_CUT]
    with pytest.raises(WeightsError):
        resolve(server.weights())
    server.content, server.etag = server.content[::-1], '"two"'
    assert resolve(server.weights(), check_hash=False).read_bytes() == server.content


@pytest.mark.parametrize(("etag", "ranges"), [(None, True), ('W/"weak"', True), ('"one"', False)])
def test_without_a_way_to_resume_it_starts_again(server, etag, ranges):
    """Fails if bytes are appended where the server starts from the beginning."""
    server.etag, server.ranges, server.cuts = etag, ranges, [LONG_CUT]
    assert resolve(server.weights()).read_bytes() == server.content


def test_part_longer_than_the_file_is_dropped(server, monkeypatch):
    """Fails if 416 ends the download instead of starting it again."""
    monkeypatch.setattr(download, "MAX_ATTEMPTS", 1)
    server.cuts = [LONG_CUT]
    with pytest.raises(WeightsError):
        resolve(server.weights())
    monkeypatch.setattr(download, "MAX_ATTEMPTS", 2)
    server.statuses = [416]
    assert resolve(server.weights()).read_bytes() == server.content


def test_whole_part_needs_no_server(server):
    """Fails if a process killed between the last byte and the renaming costs a second download."""
    path = resolve(server.weights())
    path.rename(part_of(server))
    download.write_state(path, "part.json", {"source": server.url, "validator": None, "total": len(server.content)})
    server.stop()
    assert resolve(server.weights()).read_bytes() == server.content


def test_missing_file_says_so_and_is_not_retried(server):
    server.statuses = [404, 404]
    with pytest.raises(WeightsError, match=r"404.*weights='path/to/file'"):
        resolve(server.weights())
    assert len(server.requests) == 1
    assert cached_files() == []


def test_busy_server_is_asked_again(server):
    server.statuses = [503, 429]
    assert resolve(server.weights()).is_file()
    assert len(server.requests) == 3


def test_server_down_reads_like_offline(server):
    """Fails if the error lacks the file wanted, the place looked at, or the way out."""
    server.stop()
    with pytest.raises(WeightsError) as raised:
        resolve(server.weights())
    for part in (server.url, str(cached(server)), "cannot be reached", "weights='path/to/file'"):
        assert part in str(raised.value)


def test_unknown_host_reads_like_offline(server):
    with pytest.raises(WeightsError, match=r"model\.invalid cannot be reached.*Looked for: "):
        resolve(server.weights(source="https://model.invalid/net-1234.pth"))


def test_full_disk(server, monkeypatch):
    """Fails if the download starts although it cannot end, or ends in a bare OSError."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free=10))
    with pytest.raises(WeightsError, match="has 10 bytes free and the download needs 512,000"):
        resolve(server.weights())
    monkeypatch.undo()


def test_disk_that_fills_midway(server, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_copy", full)
    with pytest.raises(WeightsError, match=r"cannot be written: .*No space left.*ZOO_CACHE"):
        resolve(server.weights())
    assert not cached(server).exists()


@pytest.mark.parametrize("address", ["http://example.org/a.pth", "ftp://example.org/a.pth"])
def test_only_https_leaves_the_machine(server, address):
    """Fails if a redirect can lead to an address that may not be asked for directly."""
    with pytest.raises(WeightsError, match="over https only"):
        download.download(address, cached(server), sha256=None)
    server.redirect = address
    with pytest.raises(WeightsError, match="over https only"):
        resolve(server.weights())


def _resolve_in_process(url, sha256, cache, barrier, queue):
    os.environ["ZOO_CACHE"] = cache
    barrier.wait(timeout=30)
    queue.put(str(resolve(Weights(tag="test", source=url, sha256=sha256, licence="MIT"))))


def test_two_processes_download_one_file_once(server, own_cache):
    """Fails without the lock: both would write the same part, and the server would be asked twice."""
    server.pause_s = 0.3
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    arguments = (server.url, server.sha256, str(own_cache), context.Barrier(2), queue)
    processes = [context.Process(target=_resolve_in_process, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    paths = {queue.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(timeout=30)
        assert process.exitcode == 0
    assert paths == {str(cached(server))}
    assert cached(server).read_bytes() == server.content
    assert len(server.requests) == 1


def test_progress_bar_is_drawn_only_when_asked_for(server, capsys):
    """Fails if a log file fills with bars: the standard error of a test is no terminal."""
    resolve(server.weights())
    assert capsys.readouterr().err == ""
    cached(server).unlink()
    resolve(server.weights(), progress=True)
    assert cached(server).name in capsys.readouterr().err


def test_retries_wait_longer_each_time(server, monkeypatch):
    """Fails if a broken server is asked again without a pause."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(download, "BACKOFF_S", 1.0)
    server.statuses = [500] * download.MAX_ATTEMPTS
    with pytest.raises(WeightsError, match="the server answered 500"):
        resolve(server.weights())
    assert waits == [1.0, 2.0, 4.0, 8.0]
