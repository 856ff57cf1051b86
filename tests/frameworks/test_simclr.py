import torch
from tiny import build, views_of

from ssps_lib import losses


def test_the_loss_is_nt_xent_of_the_representations():
    framework = build("simclr", temperature=0.2)
    views = views_of(framework)
    y, y_pos = (framework.encoder(view) for view in views)
    expected = losses.nt_xent(y, y_pos, 0.2)
    torch.testing.assert_close(framework.loss(*framework(views)), expected)
    framework.symmetric = False
    expected = losses.nt_xent(y, y_pos, 0.2, symmetric=False)
    torch.testing.assert_close(framework.loss(*framework(views)), expected)


def test_the_paper_s_temperature_is_the_default():
    assert build("simclr").temperature == 0.03
