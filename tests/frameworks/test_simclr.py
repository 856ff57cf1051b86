import torch
from tiny import DIM, build, views_of

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


def test_symmetric_positives_are_the_mean_of_two_losses_by_hand():
    """III-C3: z meets q' of pos(i), z' meets q; an utterance without pos(i) has both views."""
    framework = build("simclr", temperature=0.2, symmetric_positives=True)
    views = views_of(framework)
    z, z_pos = (framework.encoder(view) for view in views)
    torch.testing.assert_close(framework.positive(views), torch.stack([z_pos, z], dim=1))
    rows = torch.randn(4, 2, DIM, generator=torch.Generator().manual_seed(1))
    found = torch.tensor([True, False, True, False])
    anchors, positives = framework(views)
    loss = framework.loss(anchors, framework.substitute(positives, rows, found))
    first, second = z_pos.clone(), z.clone()
    for i in (0, 2):
        first[i], second[i] = rows[i, 0], rows[i, 1]
    by_hand = (losses.nt_xent(z, first, 0.2) + losses.nt_xent(z_pos, second, 0.2)) / 2
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(  # nothing found: SimCLR itself
        framework.loss(anchors, positives), losses.nt_xent(z, z_pos, 0.2)
    )
    assert framework.monitors(anchors, positives)["embedding_std"].ndim == 0
