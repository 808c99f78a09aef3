import subprocess
import sys

import pytest

import zoo
from zoo.backends import BACKENDS, get_backend
from zoo.backends.base import accepted_arguments, local_file, published_hash
from zoo.errors import UnknownNameError, WeightsError
from zoo.registry import BACKENDS as PREFIXES


def test_every_prefix_of_the_registry_has_a_backend():
    assert set(BACKENDS) == set(PREFIXES)
    assert all(get_backend(prefix).prefix == prefix for prefix in BACKENDS)


def test_misspelt_prefix_names_the_nearest():
    with pytest.raises(UnknownNameError, match="'torchvision'"):
        zoo.create_model("torchvison:resnet18")


def test_importing_the_backends_imports_no_library():
    """Fails if a library is imported at the head of a module: listing the native zoo would take seconds."""
    code = (
        "import sys; from zoo.backends import BACKENDS, get_backend; [get_backend(prefix) for prefix in BACKENDS]; "
        "print(sorted({'torch', 'timm', 'torchvision', 'transformers', 'torchaudio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/resnet18-f37072fd.pth", "f37072fd"),
        ("https://host/mnasnet0.5_top1_67.823-3ffadce67e.pth", "3ffadce67e"),
        ("https://host/mobilenet_v2_qnnpack_37f702c5.pth", ""),  # torch.hub's convention is a hyphen
        ("https://host-12345678.net/model.pth", ""),
    ],
)
def test_hash_in_a_files_name(url, expected):
    assert published_hash(url) == expected


def test_paths_and_tags_are_told_apart(tmp_path, monkeypatch):
    """Fails if a folder that happens to be called like a tag is taken for a file of weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main").mkdir()
    (tmp_path / "default").touch()
    (tmp_path / "own.pth").touch()
    assert local_file("main") is None
    assert local_file("default") is None
    assert local_file("own.pth").name == "own.pth"
    assert local_file(tmp_path / "main") == tmp_path / "main"
    with pytest.raises(WeightsError, match=r"absent\.pth"):
        local_file("absent.pth")


def test_arguments_behind_swallowing_classes_are_found():
    """Fails if the search ends at a class that hands its **kwargs to its parent."""

    class Parent:
        def __init__(self, *, width: int = 1) -> None:
            self.width = width

    class Child(Parent):
        def __init__(self, *, depth: int = 1, **options: int) -> None:
            super().__init__(**options)
            self.depth = depth

    assert accepted_arguments(Child) == {"depth", "width"}
