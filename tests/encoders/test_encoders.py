"""What both encoders have in common."""

import copy

import pytest
import torch
from torch.nn.functional import cosine_similarity

from ssps_lib import encoders

MINI = [("fast_resnet34", {"channels": 8}), ("ecapa_tdnn", {"channels": 16, "attention": 8})]


@pytest.fixture(params=MINI, ids=[name for name, _ in MINI])
def encoder(request):
    torch.manual_seed(0)
    name, options = request.param
    return encoders.build(name, dim=24, **options)


def test_representation_is_the_networks_output_on_the_features(encoder):
    waveform = torch.randn(3, 8_000)
    representation = encoder.eval()(waveform)
    assert representation.shape == (3, encoder.dim) == (3, 24)
    expected = encoder.represent(encoder.features(waveform))
    torch.testing.assert_close(representation, expected, atol=0, rtol=0)


def test_in_eval_mode_an_utterance_does_not_depend_on_its_batch(encoder):
    waveform = torch.randn(3, 8_000)
    alone = torch.cat([encoder.eval()(row[None]) for row in waveform])
    torch.testing.assert_close(encoder(waveform), alone, atol=1e-5, rtol=1e-4)


def test_every_parameter_learns(encoder):
    (encoder(torch.randn(4, 8_000)) * torch.randn(4, 24)).sum().backward()
    # Two squeezed channels may both be cut by the ReLU; a bias before a softmax has no effect.
    exempt = (".se.fc.", "asp.conv.bias")
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0 or any(part in name for part in exempt), name


def test_silence_has_a_finite_representation_and_gradient(encoder):
    representation = encoder(torch.zeros(2, 8_000))
    representation.square().sum().backward()
    assert representation.isfinite().all()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_autocast_changes_little_and_returns_float32(encoder):
    waveform = torch.randn(4, 8_000)
    expected = encoder(waveform)
    with torch.autocast("cpu", torch.bfloat16):
        representation = encoder(waveform)
    assert representation.dtype == torch.float32
    assert cosine_similarity(representation, expected).min() > 0.99


def test_config_builds_the_same_encoder_again(encoder):
    again = encoders.build(**encoder.config)
    assert again.config == encoder.config
    again.load_state_dict(encoder.state_dict())
    waveform = torch.randn(2, 8_000)
    torch.testing.assert_close(encoder.eval()(waveform), again.eval()(waveform), atol=0, rtol=0)


def test_a_copy_is_independent(encoder):
    teacher = copy.deepcopy(encoder)
    for parameter in teacher.parameters():
        parameter.data.zero_()
    assert encoder.fc.weight.abs().sum() > 0 and teacher.config == encoder.config


@pytest.mark.parametrize("name", ["fast_resnet34", "ecapa_tdnn"])
@pytest.mark.parametrize("channels", [0, 12, -8])
def test_widths_that_cannot_be_divided_are_refused(name, channels):
    with pytest.raises(ValueError, match=f"channels is {channels}, expected a positive multiple"):
        encoders.build(name, channels=channels)


def test_unknown_names_and_options_are_refused():
    with pytest.raises(ValueError, match=r"'resnet', expected one of \['ecapa_tdnn', 'fast_res"):
        encoders.build("resnet")
    with pytest.raises(ValueError, match="no option 'depth', expected some of dim"):
        encoders.build("fast_resnet34", depth=50)
