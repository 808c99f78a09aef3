from pathlib import Path

import pytest
import torch
import torchaudio.pipelines

from zoo.backends import get_backend
from zoo.backends.torchaudio_backend import MODELS
from zoo.errors import UnknownArgumentError, UnknownNameError, WeightsError

backend = get_backend("torchaudio")


def test_every_bundle_belongs_to_a_model_that_takes_its_weights():
    """Fails if torchaudio renames a bundle or what it notes of it; MMS_FA alone, an aligner, has no model here."""
    with torch.device("meta"):
        for name in (name.partition(":")[2] for name in backend.list_models(pretrained=True)):
            assert all(record.source.startswith("https://") for record in backend.info(name).weights)
    known = {tag for model in MODELS.values() for tag in model.bundles}
    assert known == {name for name in torchaudio.pipelines.__all__ if name.isupper()} - {"MMS_FA"}


def test_library_cache_is_used_and_the_missing_hash_is_told(tmp_path: Path, caplog):
    """Fails if torchaudio's own folder is passed over, or the lack of a hash is passed over in silence."""
    folder = tmp_path / "torch-home" / "hub" / "torchaudio" / "models"
    folder.mkdir(parents=True)
    reference, report = backend.create("conv_tasnet_base", weights=None, arguments={})
    assert report is None
    torch.save(reference.state_dict(), folder / "conv_tasnet_base_libri2mix.pt")
    model, report = backend.create("conv_tasnet_base", weights="default", arguments={})
    assert report.num_tensors == len(reference.state_dict())
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in reference.state_dict().items())
    assert "No sha256 is published" in caplog.text
    assert backend.head(model) is None


def test_speech_recogniser_drops_foreign_rows_and_takes_other_outputs(tmp_path: Path):
    """Fails if rows 1 to 3 of the file's last layer, fairseq's own symbols, stay among the letters."""
    whole, _ = backend.create("wav2vec2_base", weights=None, arguments={"num_classes": 32})
    path = tmp_path / "wav2vec2_fairseq_base_ls960_asr_ll10m.pth"
    torch.save(whole.state_dict(), path)
    model, report = backend.create("wav2vec2_base", weights=path, arguments={})
    assert report.num_tensors == report.total_tensors
    assert torch.equal(model.aux.weight, whole.aux.weight[[0, *range(4, 32)]])
    model, report = backend.create("wav2vec2_base", weights=path, arguments={"num_classes": 7})
    assert [row[0] for row in report.mismatched] == ["aux.weight", "aux.bias"]
    assert backend.head(model) == "aux"
    assert model.eval()(torch.rand(1, 800))[0].shape[-1] == 7


def test_offline_without_the_file_says_what_and_where():
    with pytest.raises(WeightsError, match=r"wav2vec2_fairseq_base_ls960\.pth.*Looked for: .*weights="):
        backend.create("wav2vec2_base", weights=True, arguments={})


@pytest.mark.parametrize(
    ("name", "weights", "arguments", "error", "hint"),
    [
        ("wav2vec_base", None, {}, UnknownNameError, "'wav2vec2_base'"),
        ("wav2vec2_base", "HUBERT_BASE", {}, UnknownNameError, "WAV2VEC2_BASE"),
        ("wav2letter", None, {"num_clases": 3}, UnknownArgumentError, "num_classes"),
        ("conv_tasnet_base", None, {"num_classes": 3}, UnknownArgumentError, "no classifier"),
        ("hdemucs_low", None, {}, ValueError, "sources"),
    ],
)
def test_mistakes_name_the_remedy(name, weights, arguments, error, hint):
    with pytest.raises(error, match=hint):
        backend.create(name, weights=weights, arguments=arguments)
