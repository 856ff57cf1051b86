import pytest
import torch
from tiny import build, views_of

from ssps_lib.frameworks import collapse


def test_isotropic_embeddings_have_a_spread_of_1():
    z = torch.randn(4_000, 64, generator=torch.Generator().manual_seed(0))
    assert collapse.embedding_std(5 * z) == pytest.approx(1, abs=0.01)


def test_embeddings_on_one_axis_have_little_spread():
    z = torch.zeros(100, 64)
    z[:, 0] = torch.linspace(-1, 1, 100)
    assert collapse.embedding_std(z) == pytest.approx(1 / 8)  # 1 of 64 dimensions, times sqrt(64)


def test_entropy_lies_between_one_hot_and_uniform():
    p = torch.tensor([[0.25, 0.75]])
    expected = -(0.25 * torch.tensor(0.25).log2() + 0.75 * torch.tensor(0.75).log2())
    assert collapse.relative_entropy(p) == pytest.approx(expected.item())
    assert collapse.relative_entropy(torch.eye(3)) == 0
    assert collapse.relative_entropy(torch.full((2, 7), 1 / 7)) == pytest.approx(1)


HEALTHY = {
    "loss": 3.0, "embedding_std": 0.8, "assignment_entropy": 0.95, "prototype_usage": 0.6,
    "teacher_entropy": 0.9, "teacher_usage": 0.3, "coverage": 0.02,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("embedding_std", 0.03, "push embeddings apart"),
        ("assignment_entropy", 1.0, "SwAV assigns every utterance to all prototypes alike"),
        ("prototype_usage", 0.01, "SwAV predicts the same prototype"),
        ("teacher_entropy", 0.9999, "lower teacher_temperature"),
        ("teacher_usage", 0.0, "lower center_momentum"),
        ("coverage", 0.0, "no utterance found a pseudo-positive"),
        ("embedding_std", float("nan"), "push embeddings apart"),
    ],
)
def test_each_sign_names_its_value_and_the_likely_cause(name, value, cause):
    assert collapse.signs(HEALTHY) == []
    (sign,) = collapse.signs(HEALTHY | {name: value})
    assert sign.startswith(f"{name} is {value:.3g} (healthy: ") and cause in sign
    with pytest.warns(collapse.CollapseWarning, match=f"epoch 7: {name} is .*{cause}"):
        collapse.warn(HEALTHY | {name: value}, 7)


def epoch_of(framework, steps, rate):
    """Monitors after some steps of SGD on new mini-batches."""
    optimizer = torch.optim.SGD(framework.parameter_groups(0.0), lr=rate)
    for step in range(steps):
        views = views_of(framework, batch=8, seed=step)
        z, z_pos = framework(views)
        optimizer.zero_grad()
        framework.loss(z, z_pos).backward()
        optimizer.step()
        framework.after_step(z.detach(), z_pos.detach())
    return {name: float(value) for name, value in framework.monitors(z, z_pos).items()}


def test_vicreg_collapses_without_its_variance_term_and_that_is_seen():
    healthy = epoch_of(build("vicreg"), 60, 0.5)
    assert collapse.signs(healthy) == []
    collapsed = epoch_of(build("vicreg", variance=0.0, covariance=0.0), 60, 0.5)
    (sign,) = collapse.signs(collapsed)
    assert sign.startswith("embedding_std is ") and "variance term" in sign


def test_equal_embeddings_of_swav_have_uniform_assignments():
    framework = build("swav")
    assert collapse.signs(epoch_of(framework, 1, 0.0)) == []
    torch.nn.init.zeros_(framework.projector[-1].weight)  # only its bias is left
    seen = {sign.split()[0] for sign in collapse.signs(epoch_of(framework, 1, 0.0))}
    assert seen == {"embedding_std", "assignment_entropy"}


def test_equal_embeddings_of_dino_have_uniform_targets():
    framework = build("dino")
    assert collapse.signs(epoch_of(framework, 1, 0.0)) == []
    for head in (framework.head, framework.teacher_head):
        torch.nn.init.zeros_(head.mlp[-1].weight)
        torch.nn.init.ones_(head.mlp[-1].bias)
    seen = {sign.split()[0] for sign in collapse.signs(epoch_of(framework, 60, 0.0))}
    assert seen == {"embedding_std", "teacher_entropy"}


def test_without_its_centre_dino_chooses_one_output():
    framework = build("dino", center_momentum=1.0)
    for head in (framework.head, framework.teacher_head):
        torch.nn.init.zeros_(head.mlp[-1].weight)
        torch.nn.init.ones_(head.mlp[-1].bias)
    framework.teacher_head.last.weight.data.fill_(-1.0)
    framework.teacher_head.last.weight.data[0] = 1.0  # nearest to every embedding
    seen = {sign.split()[0] for sign in collapse.signs(epoch_of(framework, 1, 0.0))}
    assert seen == {"embedding_std", "teacher_usage"}
