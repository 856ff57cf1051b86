"""Checkpoints in the layout of the paper's authors, written here name by name, and faulty ones."""

import numpy as np
import pytest
import torch

from ssps_lib import encoders, load_encoder

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def tdnn(theirs, ours):
    pairs = [(f"{theirs}.conv.conv.{p}", f"{ours}.conv.{p}") for p in ("weight", "bias")]
    return pairs + [(f"{theirs}.norm.{p}", f"{ours}.norm.{p}") for p in NORM]


def conv(theirs, ours):
    return [(f"{theirs}.{p}", f"{ours}.{p}") for p in ("weight", "bias")]


def ecapa_names():
    """Pairs (their name, our name)."""
    pairs = tdnn("blocks.0", "blocks.0") + tdnn("mfa", "mfa") + tdnn("asp.tdnn", "asp.tdnn")
    for b in ("blocks.1", "blocks.2", "blocks.3"):
        inner = [f"{b}.tdnn1", f"{b}.tdnn2", *(f"{b}.res2net_block.blocks.{i}" for i in range(7))]
        for name in inner:
            pairs += tdnn(name, name)
        for gate in (f"{b}.se_block.conv1", f"{b}.se_block.conv2"):
            pairs += conv(f"{gate}.conv", gate)
    pairs += conv("asp.conv.conv", "asp.conv") + conv("fc.conv", "fc")
    return pairs + [(f"asp_bn.{p}", f"asp_bn.{p}") for p in NORM]


def resnet_names():
    names = ["conv.weight", "pooling.attention"] + [f"bn.{p}" for p in NORM]
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for b in (f"block{stage}.{i}" for i in range(blocks)):
            names += [f"{b}.conv1.weight", f"{b}.conv2.weight"]
            names += [f"{b}.{bn}.{p}" for bn in ("bn1", "bn2") for p in NORM]
            names += [f"{b}.se.fc.{i}.{p}" for i in (0, 2) for p in ("weight", "bias")]
        if stage > 1:
            first = f"block{stage}.0.downsample"
            names += [f"{first}.0.weight"] + [f"{first}.1.{p}" for p in NORM]
    names += [f"{layer}.{p}" for layer in ("pooling.sap_linear", "fc") for p in ("weight", "bias")]
    return [(name, name) for name in names]


FEATURES = [
    ("features_extractor.0.spectrogram.window", "features.mel.spectrogram.window"),
    ("features_extractor.0.mel_scale.fb", "features.mel.mel_scale.fb"),
]
NAMES = {"ecapa_tdnn": ecapa_names() + FEATURES, "fast_resnet34": resnet_names() + FEATURES}
CONFIGS = [
    {"name": "fast_resnet34", "dim": 24, "n_mels": 32, "window": "hann", "channels": 8},
    {
        "name": "ecapa_tdnn", "dim": 24, "n_mels": 32, "window": "hann",
        "channels": 16, "mfa": 40, "attention": 8, "se": 4,
    },
]  # fmt: skip


def make(config, seed=0):
    """An encoder whose every tensor is random, running statistics included."""
    torch.manual_seed(seed)
    encoder = encoders.build(**config)
    encoder(torch.randn(4, 4_000))
    return encoder.eval()


def theirs(encoder, prefix):
    state = encoder.state_dict()
    return {prefix + name: state[ours] for name, ours in NAMES[encoder.name]}


def write(path, model, **more):
    checkpoint = {"epoch": 99, "best_metric": np.float64(6.3), "model": model, "optimizer": {}}
    torch.save(checkpoint | more, path)
    return path


@pytest.fixture(params=CONFIGS, ids=lambda config: config["name"])
def config(request):
    return request.param


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model_latest.pt"


@pytest.mark.parametrize("name", list(NAMES))
def test_every_tensor_has_a_name_in_their_layout(name):
    own = encoders.build(name, channels=8).state_dict()
    assert sorted(ours for _, ours in NAMES[name]) == sorted(own)


def assert_equal_encoders(loaded, expected):
    waveform = torch.randn(2, 8_000)
    assert not loaded.training and loaded.config == expected.config
    torch.testing.assert_close(loaded(waveform), expected(waveform), atol=0, rtol=0)


def test_round_trip(config, path):
    encoder = make(config)
    rest = {
        "projector.0.weight": torch.zeros(3, 24),
        "ssps.train_indices_ref": torch.full((7,), -1),
        "ssps.train_embeddings_ref": torch.zeros(7, 24),
    }
    assert_equal_encoders(load_encoder(write(path, theirs(encoder, "encoder.") | rest)), encoder)


def test_the_teacher_of_dino_is_loaded_but_not_the_key_encoder_of_moco(config, path):
    student, teacher = make(config, seed=1), make(config, seed=2)
    both = theirs(student, "encoder.") | theirs(teacher, "encoder_momentum.")
    assert_equal_encoders(load_encoder(write(path, both | {"queue_1": torch.zeros(3)})), student)
    head = {"head.last_layer.weight_v": torch.zeros(4, 3)}
    assert_equal_encoders(load_encoder(write(path, both | head)), teacher)


def test_a_file_of_before_zip_and_averaged_integer_buffers(config, path):
    encoder = make(config)
    model = theirs(encoder, "encoder.")
    model = {k: v / 1 if k.endswith("num_batches_tracked") else v for k, v in model.items()}
    torch.save({"model": model}, path, _use_new_zipfile_serialization=False)
    assert_equal_encoders(load_encoder(path), encoder)


def test_without_stored_features_the_papers_are_taken(path):
    encoder = encoders.build("fast_resnet34", channels=8)
    model = {f"encoder.{k}": v for k, v in encoder.state_dict().items() if "features" not in k}
    assert load_encoder(write(path, model)).config == encoder.config


class Stranger:
    """Something that only code of the file's author could unpickle."""


def faulty(model):
    """Name of the fault -> (what is saved, what the message says)."""
    without = {k: v for k, v in model.items() if not k.startswith("encoder.fc.")}
    narrow = model | {"encoder.bn.weight": torch.zeros(3)}
    alien = {"encoder.layers.0.weight": torch.zeros(2)}
    prefixless = {k.removeprefix("encoder."): v for k, v in model.items()}
    window = {"encoder.features_extractor.0.spectrogram.window": torch.ones(400)}
    extra = {"encoder.last_bn.weight": torch.ones(24), "encoder.last_bn.bias": torch.ones(24)}
    return {
        "pickled object": (
            {"model": Stranger()},
            "pickles an object of .*Stranger",
        ),
        "a bare state dict": (model, "lacks the key 'model'"),
        "a tensor": (torch.zeros(3), "lacks the key 'model'"),
        "no dict in it": ({"model": 3}, "lacks the key 'model'"),
        "no encoder": ({"model": {"head.w": torch.zeros(1)}}, r"it holds only \['head'\]"),
        "no prefix": ({"model": prefixless}, r"lacks tensors named 'encoder\.\*'"),
        "another architecture": ({"model": alien}, "lacks both 'mfa'.*does not use"),
        "no output layer": ({"model": without}, "sizes of fast_resnet34 cannot be.*fc.weight"),
        "a missing tensor": ({"model": model | {"encoder.fc.bias": None}}, r'key.*"fc\.bias"'),
        "unknown tensors": ({"model": model | extra}, r'Unexpected key.*"last_bn\.bias"'),
        "a wrong shape": ({"model": narrow}, r"size mismatch for bn\.weight"),
        "a strange window": ({"model": model | window}, "window is none of"),
    }


@pytest.mark.parametrize("fault", list(faulty({})))
def test_faulty_files_say_what_they_lack(fault, path):
    content, message = faulty(theirs(make(CONFIGS[0]), "encoder."))[fault]
    torch.save(content, path)
    with pytest.raises(ValueError, match=message) as raised:
        load_encoder(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("is_zip", [True, False])
def test_truncated_files_are_refused(path, is_zip):
    model = theirs(make(CONFIGS[0]), "encoder.")
    torch.save({"model": model}, path, _use_new_zipfile_serialization=is_zip)
    content = path.read_bytes()
    for size in [*range(0, 300, 17), *range(300, len(content), len(content) // 20)]:
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"no checkpoint that can be read.*cut off"):
            load_encoder(path)


WRAPPED = {
    "DataParallel": "module.{}",
    "torch.compile": "_orig_mod.{}",
    "compiled, then distributed": "module._orig_mod.{}",
    "distributed, then compiled": "_orig_mod.module.{}",
    "FSDP": "_fsdp_wrapped_module.{}",
}


@pytest.mark.parametrize("wrapping", WRAPPED.values(), ids=WRAPPED)
def test_names_from_wrapped_models_are_the_same_encoder(wrapping, config, path):
    encoder = make(config)
    whole = {wrapping.format(k): v for k, v in theirs(encoder, "encoder.").items()}
    encoder_alone = theirs(encoder, "encoder." + wrapping.format(""))
    for model in (whole, encoder_alone):
        assert_equal_encoders(load_encoder(write(path, model)), encoder)


@pytest.mark.parametrize("window", ["hamming", "hann"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_keep_window_and_bands(config, window, dtype, path):
    encoder = make(config | {"window": window})
    model = theirs(encoder, "encoder.")
    model = {k: v.to(dtype) if v.is_floating_point() else v for k, v in model.items()}
    for name, parameter in encoder.state_dict().items():
        if not name.startswith("features.") and parameter.is_floating_point():
            parameter.copy_(parameter.to(dtype))
    assert_equal_encoders(load_encoder(write(path, model)), encoder)


def test_a_released_file_is_known_whatever_its_name(config, tmp_path):
    encoder = make(config)
    path = write(tmp_path / "renamed.safetensors", theirs(encoder, "encoder."))
    assert_equal_encoders(load_encoder(path), encoder)
