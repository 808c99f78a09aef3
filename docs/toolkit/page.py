"""Results as Markdown, and the pictures beside them."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from docs.toolkit.setting import Result, Study
from zoo.registry import list_parts

HEAD = """# The toolkit, on real data

What families of the toolkit do to small networks on real images: a question, a table, and what the figures say, also
where they say that a technique does not help here. All parts are listed at the end; `zoo list-parts` has their sources.
{setting}

Written by `python -m docs.toolkit` from the figures in `docs/toolkit/results/`; do not edit by hand. "Helps" and
"hurts" mean a difference of at least twice its standard error over the seeds; less is "no difference seen".
"""


def save(result: Result, folder: Path, name: str, *, setting: Mapping[str, Any]) -> None:
    """Keeps a result as JSON, with what it was measured on."""
    text = json.dumps({**asdict(result), "setting": dict(setting)}, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def load(folder: Path, name: str) -> tuple[Result, dict[str, Any]] | None:
    """A result kept before, with its setting; None if there is none."""
    file = folder / f"{name}.json"
    if not file.is_file():
        return None
    held = json.loads(file.read_text(encoding="utf-8"))
    setting = held.pop("setting")
    return Result(**held), setting


def page(studies: Sequence[Study], folder: Path) -> str:
    """The page of all studies that have a result."""
    found = [(study, loaded) for study in studies if (loaded := load(folder, study.name)) is not None]
    settings = list(dict.fromkeys(setting["words"] for _, (_, setting) in found))
    parts = [HEAD.format(setting=" ".join(settings)).rstrip()]
    for study, (result, _) in found:
        parts.append(f"## {study.title}\n\n{study.question}")
        if result.rows:
            parts.append(table(result.columns, result.rows))
        parts.append(result.found)
        parts += [f"![{study.title}](images/{picture})" for picture in result.pictures]
    parts.append(f"## All parts by name\n\n{table(('kind', 'names'), all_parts())}")
    return "\n\n".join(parts) + "\n"


def all_parts() -> list[tuple[str, str]]:
    """The kinds of parts, each with its names."""
    kinds: dict[str, list[str]] = {}
    for kind, part in list_parts():
        kinds.setdefault(kind, []).append(f"`{part.name}`")
    return [(kind, ", ".join(names)) for kind, names in kinds.items()]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def machine() -> str:
    """What the figures of time were measured on."""
    import torch

    return f"torch {torch.__version__.partition('+')[0]} on {platform.machine()}, {torch.get_num_threads()} thread(s)"
