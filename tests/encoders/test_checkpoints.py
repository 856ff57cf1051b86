"""Our own checkpoints: what is written is read back, faults are named, nothing is half written."""

import errno
import json
import os

import pytest
import safetensors.torch
import torch

import ssps_lib
from ssps_lib import encoders
from ssps_lib.encoders import load_encoder, save_encoder

CONFIGS = [
    {"name": "fast_resnet34", "dim": 24, "window": "hann", "channels": 8, "hop_length": 320},
    {"name": "ecapa_tdnn", "dim": 24, "channels": 16, "attention": 8, "se": 4},
]


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return encoders.build(**CONFIGS[1])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["name"])
@pytest.mark.parametrize("name", ["best.safetensors", "new/run"])
def test_round_trip(config, name, tmp_path):
    encoder, waveform = encoders.build(**config), torch.randn(4, 8_000)
    encoder(waveform)  # moves the running statistics
    path = save_encoder(encoder, tmp_path / name)
    assert path.is_file() and path.suffix == ".safetensors"
    loaded = load_encoder(tmp_path / name)
    assert not loaded.training and loaded.config == encoder.config
    torch.testing.assert_close(loaded(waveform), encoder.eval()(waveform), atol=0, rtol=0)


def test_load_encoder_is_public():
    assert ssps_lib.load_encoder is load_encoder


def test_saving_again_replaces_and_leaves_nothing_beside(encoder, tmp_path):
    save_encoder(encoder, tmp_path)
    encoder.fc.bias.data.fill_(3)
    save_encoder(encoder, tmp_path)
    assert os.listdir(tmp_path) == ["encoder.safetensors"]
    assert load_encoder(tmp_path).fc.bias.eq(3).all()


def test_a_full_disk_leaves_the_old_file(encoder, tmp_path):
    resource = pytest.importorskip("resource")
    path = save_encoder(encoder, tmp_path)
    before = path.read_bytes()
    encoder.fc.bias.data.fill_(3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError) as raised:
            save_encoder(encoder, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.errno == errno.EFBIG
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at '.*absent.pt'"):
        load_encoder(tmp_path / "absent.pt")
    with pytest.raises(FileNotFoundError, match=r"encoder\.safetensors'"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.9])
def test_truncated_files_are_refused(encoder, tmp_path, kept):
    path = save_encoder(encoder, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"no checkpoint that can be read.*cut off"):
        load_encoder(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "lacks the metadata key 'encoder'"),
        ({"model": "{}"}, "lacks the metadata key 'encoder'"),
        ({"encoder": "{"}, "cannot build"),
        ({"encoder": "3"}, "cannot build"),
        ({"encoder": json.dumps({"name": "vgg"})}, "cannot build: encoder is 'vgg'"),
        ({"encoder": json.dumps(CONFIGS[1] | {"depth": 3})}, "cannot build.*depth"),
        ({"encoder": json.dumps(CONFIGS[1] | {"dim": 25})}, "size mismatch for fc.weight"),
        ({"encoder": json.dumps(CONFIGS[0])}, r"does not fit fast_resnet34 \(Missing key"),
    ],
)
def test_faulty_metadata_is_named(encoder, tmp_path, metadata, message):
    path = tmp_path / "encoder.safetensors"
    safetensors.torch.save_file(encoder.state_dict(), path, metadata)
    with pytest.raises(ValueError, match=message) as raised:
        load_encoder(path)
    assert str(path) in str(raised.value)


def in_half(encoder):
    return {k: v.half() if v.is_floating_point() else v for k, v in encoder.state_dict().items()}


def test_a_compiled_encoder_is_saved_by_its_own_names(encoder, tmp_path):
    save_encoder(torch.compile(encoder), tmp_path)
    names = safetensors.torch.load_file(tmp_path / "encoder.safetensors")
    assert names.keys() == encoder.state_dict().keys()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["name"])
def test_half_precision_rounds_weights_but_not_features(config, tmp_path):
    encoder = encoders.build(**config)
    state = in_half(encoder)
    path = tmp_path / "half.safetensors"
    safetensors.torch.save_file(state, path, {"encoder": json.dumps(encoder.config)})
    weights = {k: v.to(encoder.state_dict()[k].dtype) for k, v in state.items() if "feat" not in k}
    encoder.load_state_dict(weights, strict=False)
    waveform, loaded = torch.randn(2, 8_000), load_encoder(path)
    torch.testing.assert_close(loaded(waveform), encoder.eval()(waveform), atol=0, rtol=0)


def test_files_are_known_by_their_content_not_by_their_names(encoder, tmp_path):
    save_encoder(encoder, tmp_path / "x.safetensors").rename(tmp_path / "x.pt")
    assert load_encoder(tmp_path / "x.pt").config == encoder.config


@pytest.mark.parametrize("name", ["encoder.safetensors", "model_latest.pt"])
@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"<!DOCTYPE html><html>Google Drive - Quota exceeded</html>", "it is a web page"),
        (b"\xef\xbb\xbf\r\n  <html lang='en'>Sign in</html>", "it is a web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "git lfs pull"),
        (b'{"error": "Repository not found"}', "it is an answer in JSON"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "it is a gzip archive, unpack it first"),
        (b"", "it is empty"),
        (b"EER 6.3 %", "is it something else"),
        (b"PK\x03\x04 a zip of other things", "is it something else"),
    ],
)
def test_what_is_no_checkpoint_is_recognised(name, content, cause, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}' is no checkpoint that can be read.*{cause}"):
        load_encoder(tmp_path / name)
