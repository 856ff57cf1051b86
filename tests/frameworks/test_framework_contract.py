"""What holds for every framework, whatever the sampler."""

import copy
import math
from inspect import signature

import pytest
import torch
from tiny import OPTIONS, TinyEncoder, build, views_of

from ssps_lib import frameworks, positives
from ssps_lib.frameworks.options import holds

EVERY = list(OPTIONS)
LABELS = torch.tensor([0, 1, 2, 1])
HALF = torch.tensor([True, False, True, False])


def train(framework, steps, positives_of=lambda z_pos, step: z_pos):
    """Losses of a few steps on the same mini-batch."""
    optimizer = torch.optim.Adam(framework.parameter_groups(0.0), lr=1e-2)
    views, curve = views_of(framework), []
    for step in range(steps):
        framework.before_step(step, step / steps)
        z, own = framework(views)
        z_pos = positives_of(own, step)
        loss = framework.loss(z, z_pos, LABELS)
        optimizer.zero_grad()
        loss.backward()
        framework.after_backward(step)
        optimizer.step()
        framework.after_step(z.detach(), z_pos.detach(), own.detach())
        curve.append(loss.item())
    return curve


@pytest.mark.parametrize("name", EVERY)
def test_embedding_shape_is_that_of_the_positives(name):
    framework = build(name)
    z, z_pos = framework(views_of(framework))
    assert len(z) == 4
    assert z_pos.shape == (4, *framework.embedding_shape)
    if name != "supervised":  # which has none
        assert framework.positive(views_of(framework)).shape == z_pos.shape


@pytest.mark.parametrize("name", EVERY)
def test_the_same_weights_give_the_same_curve_twice(name):
    curves = [train(build(name, norm=True), 8) for _ in range(2)]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("name", ["simclr", "moco", "vicreg", "supervised"])
def test_the_loss_falls(name):
    curve = train(build(name, norm=True), 30)
    assert curve[-1] < curve[0]


@pytest.mark.parametrize("name", [name for name in EVERY if name != "supervised"])
def test_pseudo_positives_from_a_queue_train_every_framework(name):
    framework = build(name, norm=True)
    before = copy.deepcopy(framework.representation_encoder.state_dict())
    queue = positives.Queue(4, framework.embedding_shape)

    def pseudo(z_pos, step):
        pos = torch.tensor([2, -1, 3, -1]) if step else torch.full((4,), -1)
        rows = queue[pos.clamp(min=0)] if step else torch.zeros_like(z_pos)
        queue[torch.arange(4)] = z_pos
        return framework.substitute(z_pos, rows, pos >= 0)

    assert torch.tensor(train(framework, 3, pseudo)).isfinite().all()
    after = framework.representation_encoder.state_dict()
    assert not torch.equal(before["matrix.weight"], after["matrix.weight"])


@pytest.mark.parametrize("name", EVERY)
def test_substitute_replaces_what_was_found_and_stops_its_gradient(name):
    framework = build(name)
    z_pos = torch.randn(4, *framework.embedding_shape, requires_grad=True)
    rows = torch.randn_like(z_pos).requires_grad_()
    mixed = framework.substitute(z_pos, rows, HALF)
    for i in range(4):
        assert torch.equal(mixed[i], rows[i] if HALF[i] else z_pos[i])
    mixed.sum().backward()
    assert rows.grad is None
    assert (z_pos.grad.flatten(1).amax(1) == (~HALF).float()).all()


@pytest.mark.parametrize("name", EVERY)
def test_rows_of_missing_positives_may_hold_anything(name):
    framework = build(name)
    z, z_pos = framework(views_of(framework))
    rows = torch.full_like(z_pos, torch.nan)
    mixed = framework.substitute(z_pos, rows, torch.zeros(4, dtype=torch.bool))
    framework.loss(z, mixed, LABELS).backward()
    assert framework.encoder.matrix.weight.grad.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_everything_that_matters_is_in_the_state_dict(name):
    trained = build(name, norm=True)
    train(trained, 3)
    torch.manual_seed(5)
    restored = frameworks.build(name, type(trained.encoder)(norm=True), **OPTIONS[name])
    restored.load_state_dict(trained.state_dict())
    results = []
    for framework in (trained, restored):
        framework.before_step(20, 0.5)
        z, z_pos = framework(views_of(framework, seed=1))
        results.append(framework.loss(z, z_pos, LABELS).item())
    assert results[0] == results[1]


@pytest.mark.parametrize("name", EVERY)
def test_parameter_groups_hold_each_trained_parameter_once(name):
    framework = build(name, norm=True)
    grouped = [id(p) for group in framework.parameter_groups(0.1) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in framework.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", EVERY)
def test_all_trained_parameters_receive_a_gradient(name):
    framework = build(name, norm=True)
    z, z_pos = framework(views_of(framework))
    framework.loss(z, z_pos, LABELS).backward()
    missing = [n for n, p in framework.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []  # DistributedDataParallel would wait for it


@pytest.mark.parametrize("name", EVERY)
def test_monitors_see_the_spread(name):
    framework = build(name)
    z, z_pos = framework(views_of(framework))
    spread = framework.monitors(z, z_pos)["embedding_std"]
    same = framework.monitors(z[:1].expand_as(z), z_pos[:1].expand_as(z_pos))["embedding_std"]
    assert spread > 0.1
    assert same == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_nan_reaches_the_loss(name):
    framework = build(name)
    views = views_of(framework)
    views[0][1, 0] = torch.nan
    assert framework.loss(*framework(views), LABELS).isnan()


@pytest.mark.parametrize("name", ["simclr", "vicreg"])
def test_one_utterance_is_too_few(name):
    framework = build(name).eval()
    with pytest.raises(ValueError, match="at least 2"):
        framework.loss(*framework(views_of(framework, batch=1)))


BAD_OPTIONS = {
    "an unknown option": ("simclr", {"tau": 1.0}, "has no option 'tau'.*temperature, symmetric"),
    "a temperature of 0": ("swav", {"temperature": 0}, "is 0, expected a number above 0"),
    "a temperature in words": ("moco", {"temperature": "warm"}, r"'warm'.*\(the paper: 0.03\)"),
    "a temperature of NaN": ("simclr", {"temperature": math.nan}, "temperature is nan"),
    "a momentum above 1": ("moco", {"momentum": 1.1}, r"momentum is 1.1.*\[0, 1\]"),
    "a queue below 0": ("swav", {"queue_size": -1}, "queue_size is -1"),
    "half a queue": ("moco", {"queue_size": 2.5}, "queue_size is 2.5, expected a whole number"),
    "one prototype": ("swav", {"prototypes": 1}, "prototypes is 1.*at least 2"),
    "one class": ("supervised", {"classes": 1}, r"classes is 1, .* at least 2\.$"),
    "no width": ("vicreg", {"hidden": 0}, "hidden is 0.*at least 1"),
    "a negative weight": ("vicreg", {"covariance": -1.0}, "covariance is -1.0"),
    "degrees": ("supervised", {"classes": 3, "margin": 11.5}, "margin is 11.5, expected radians"),
    "an unknown queue": ("dino", {"queue": "half"}, "'half', expected 'bottleneck' or 'logits'"),
    "an unknown reduction": ("dino", {"reduction": "max"}, "'max', expected 'mean' or 'sum'"),
    "yes": ("simclr", {"symmetric": "yes"}, "'yes', expected True or False"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_named(case):
    name, options, message = BAD_OPTIONS[case]
    with pytest.raises(ValueError, match=message):
        frameworks.build(name, TinyEncoder(), **options)


@pytest.mark.parametrize("name", EVERY)
def test_every_option_has_a_rule_that_its_default_keeps(name):
    _, *options = signature(frameworks.FRAMEWORKS[name]).parameters.values()
    for option in options:
        assert option.default is option.empty or holds(option.name, option.default)


def test_a_framework_from_elsewhere_has_options_of_its_own(monkeypatch):
    class Weighted(frameworks.SimCLR):
        def __init__(self, encoder, weight=1.0):
            super().__init__(encoder)
            self.weight = weight

    monkeypatch.setitem(frameworks.FRAMEWORKS, "weighted", Weighted)
    assert frameworks.build("weighted", TinyEncoder(), weight=3.0).weight == 3


def test_an_unknown_name_is_named():
    with pytest.raises(ValueError, match="'byol'"):
        frameworks.build("byol", torch.nn.Identity())
