import torch
from tiny import build, views_of

from ssps_lib import losses


def test_the_loss_classifies_cosines_with_a_margin():
    framework = build("supervised", margin=0.3, scale=20.0)
    z, _ = framework(views_of(framework))
    labels = torch.tensor([0, 1, 2, 1])
    cosines = torch.stack(
        [torch.cosine_similarity(z, weight[None]) for weight in framework.weight], dim=1
    )
    expected = losses.aam_softmax(cosines, labels, 0.3, 20.0)
    torch.testing.assert_close(framework.loss(z, z, labels), expected)


def test_the_encoder_sees_the_one_view_once():
    framework = build("supervised")
    framework(views_of(framework))
    assert len(framework.encoder.seen) == 1
