import torch
from tiny import build, views_of

from ssps_lib import losses


def test_the_loss_is_vicreg_of_the_projections():
    framework = build("vicreg", invariance=2.0, variance=3.0, covariance=0.5, reduction="sum")
    framework.eval()
    views = views_of(framework)
    z, z_pos = (framework.projector(framework.encoder(view)) for view in views)
    expected = losses.vicreg(z, z_pos, 2.0, 3.0, 0.5, "sum")
    torch.testing.assert_close(framework.loss(*framework(views)), expected)


def test_embeddings_are_not_normalised():
    framework = build("vicreg")
    norms = framework(views_of(framework))[0].norm(dim=1)
    assert (norms - 1).abs().min() > 1e-3
