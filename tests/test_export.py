"""Exported encoders: the same outputs as the encoder itself, for other sizes than the traced."""

import sys

import pytest
import torch

from ssps_lib import encoders, export
from ssps_lib.features import LogMel

CONFIGS = [
    {"name": "ecapa_tdnn", "dim": 12, "channels": 8, "attention": 4, "se": 4, "hop_length": 320},
    {"name": "fast_resnet34", "dim": 12, "channels": 8, "n_mels": 80, "window": "hann"},
]
SIZES = [(1, 8_001), (3, 20_000)]


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: config["name"])
def encoder(request):
    torch.manual_seed(0)
    encoder = encoders.build(**request.param)
    encoder(torch.randn(4, 8_000))  # moves the running statistics
    return encoder.eval()


@pytest.mark.parametrize(("n_mels", "window"), [(40, "hamming"), (80, "hann")])
def test_portable_features_are_the_features(n_mels, window):
    features = LogMel(n_mels, window)
    waveform = 0.1 * torch.randn(3, 12_345)
    portable = export.PortableLogMel(features)
    torch.testing.assert_close(portable(waveform), features(waveform), atol=2e-3, rtol=1e-3)


def test_the_program_gives_equal_outputs_from_disk(encoder, tmp_path):
    encoder.train()
    torch.export.save(export.to_program(encoder), tmp_path / "encoder.pt2")
    assert encoder.training, "the mode was not restored"
    encoder.eval()
    program = torch.export.load(tmp_path / "encoder.pt2").module()
    for size in SIZES:
        waveform = 0.1 * torch.randn(size)
        expected = encoder(waveform)
        torch.testing.assert_close(program(waveform), expected, atol=1e-3, rtol=1e-3)


def test_onnx_gives_equal_outputs(encoder, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = export.to_onnx(encoder, tmp_path / "encoder.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["encoder.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in SIZES:
        waveform = 0.1 * torch.randn(size)
        (found,) = session.run(["representation"], {"waveform": waveform.numpy()})
        expected = encoder(waveform).detach()
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-3, rtol=1e-3)


def test_onnx_says_what_it_lacks(encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match="pip install onnx onnxscript"):
        export.to_onnx(encoder, tmp_path / "encoder.onnx")
