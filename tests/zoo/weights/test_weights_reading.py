"""Files of weights: the honest ones in every form, the damaged, and the hostile."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zoo.errors import WeightsError
from zoo.weights import read_state_dict

STATE = {"conv.weight": torch.arange(12.0).view(1, 3, 2, 2), "conv.bias": torch.tensor([0.5])}


def assert_same(found, expected=STATE):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


class Payload:
    """A pickle that creates a file when it is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


# -- Forms of honest files


def test_safetensors(tmp_path):
    save_file(STATE, tmp_path / "net.safetensors")
    found = read_state_dict(tmp_path / "net.safetensors")
    assert_same({name: found[name] for name in STATE})


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_save_in_its_new_and_its_old_form(tmp_path, zipped):
    """Fails if memory mapping is asked of files from before PyTorch 1.6."""
    torch.save(STATE, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    assert_same(read_state_dict(tmp_path / "net.pth"))


def test_kind_is_told_from_the_content(tmp_path):
    """Fails if the name decides: a safetensors file called .bin is common."""
    save_file(STATE, tmp_path / "net.bin")
    assert set(read_state_dict(str(tmp_path / "net.bin"))) == set(STATE)


def test_writing_to_the_tensors_leaves_the_file_alone(tmp_path):
    """Fails if the mapping is shared with the file: training would change the cache."""
    torch.save(STATE, tmp_path / "net.pth")
    before = (tmp_path / "net.pth").read_bytes()
    read_state_dict(tmp_path / "net.pth")["conv.weight"].fill_(7)
    assert (tmp_path / "net.pth").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE},
        {"model_state": OrderedDict(STATE), "optimizer": {"lr": 0.1}},
        {"model": {"state_dict": STATE}},
        {f"module.{name}": tensor for name, tensor in STATE.items()},
        {"state_dict": {f"module._orig_mod.{name}": tensor for name, tensor in STATE.items()}},
        {f"_orig_mod.module.{name}": tensor for name, tensor in STATE.items()},
        {name: nn.Parameter(tensor) for name, tensor in STATE.items()},
    ],
)
def test_usual_containers_are_unwrapped(tmp_path, content):
    torch.save(content, tmp_path / "net.pth")
    assert_same(read_state_dict(tmp_path / "net.pth"))


def test_names_keep_a_prefix_that_not_all_of_them_have(tmp_path):
    """Fails if "module." is stripped wherever it occurs."""
    state = {"module.weight": torch.zeros(1), "head.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "net.pth")
    assert set(read_state_dict(tmp_path / "net.pth")) == set(state)


def test_what_is_no_tensor_is_left_out_with_a_warning(tmp_path, caplog):
    torch.save({**STATE, "epoch": 3}, tmp_path / "net.pth")
    assert_same(read_state_dict(tmp_path / "net.pth"))
    assert "left out: epoch" in caplog.text


# -- Hostile files


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", ["bare", "beside tensors"])
def test_hostile_pickle_is_refused_without_running(tmp_path, monkeypatch, zipped, form):
    """Fails if any code of the file runs: the payload would create `owned`."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # must not weaken an explicit weights_only
    payload = Payload(tmp_path / "owned")
    content = payload if form == "bare" else {**STATE, "extra": payload}
    torch.save(content, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"asks to run code(.|\n)*safetensors\.torch\.save_file"):
        read_state_dict(tmp_path / "net.pth")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_hostile_plain_pickle_is_refused_without_running(tmp_path, protocol):
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(Payload(tmp_path / "owned"), protocol=protocol))
    with pytest.raises(WeightsError):
        read_state_dict(tmp_path / "net.pkl")
    assert not (tmp_path / "owned").exists()


def test_whole_pickled_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="asks to run code"):
        read_state_dict(tmp_path / "net.pth")


def test_torchscript_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/version", b"3\n")
    with pytest.raises(WeightsError, match="is a TorchScript program"):
        read_state_dict(tmp_path / "net.pt")


# -- Damaged files, and files of another kind


def _saved(form: str) -> bytes:
    if form == "safetensors":
        from safetensors.torch import save

        return save(STATE)
    buffer = io.BytesIO()
    torch.save(STATE, buffer, _use_new_zipfile_serialization=form == "zip")
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_file_is_called_damaged(tmp_path, form, kept):
    """Fails if a cut file ends in a traceback of another library, or is taken for hostile."""
    data = _saved(form)
    (tmp_path / "net.pth").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(WeightsError, match="is damaged or incomplete"):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "is not a file of weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_file_of_another_kind(tmp_path, content, message):
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [(torch.zeros(2), "holds an object of the type Tensor"), ({"epoch": 3}, "no tensors by name")],
)
def test_file_without_named_tensors(tmp_path, content, message):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=message):
        read_state_dict(tmp_path / "net.pth")


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(WeightsError, match="There is no file"):
        read_state_dict(tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="is a directory"):
        read_state_dict(tmp_path)
    assert os.listdir(tmp_path) == []
