"""The paper's settings of each framework, and the rules by which the smaller sizes follow them."""

import pytest
from torch import nn

from ssps_book.paper import reading
from ssps_lib import encoders, frameworks
from ssps_lib.recipes import COMMON, ENCODERS, FRAMEWORKS, recipe
from ssps_lib.training import learning_rate

DIM = reading("representation dimension")
SMALL = [("mini", name) for name in FRAMEWORKS] + [("smoke", name) for name in FRAMEWORKS]


def built(framework, preset="paper"):
    """The framework of a recipe around something with the dimension of its encoder."""
    config = recipe(framework, preset=preset)
    encoder = nn.Identity()
    encoder.dim = config.encoder_options.get("dim", DIM)
    options = {"classes": 3} if framework == "supervised" else {}
    return frameworks.build(framework, encoder, **config.framework_options, **options)


@pytest.fixture(scope="module")
def paper():
    return {name: built(name) for name in FRAMEWORKS}


@pytest.mark.parametrize("name", ["ecapa_tdnn", "fast_resnet34"])
def test_encoders_are_those_of_the_paper(name):
    config = recipe(encoder=name, preset="paper")
    encoder = encoders.build(config.encoder, **config.encoder_options)
    title = {"ecapa_tdnn": "ECAPA-TDNN", "fast_resnet34": "Fast ResNet-34"}[name]
    count = sum(p.numel() for p in encoder.parameters())
    assert count == pytest.approx(reading(f"{title} parameters"), rel=0.03)
    assert encoder.dim == DIM
    assert encoder.config["n_mels"] == reading("mel bands")


def test_contrastive_frameworks_are_those_of_the_paper(paper):
    simclr, moco = paper["simclr"], paper["moco"]
    assert simclr.temperature == reading("SimCLR temperature")
    assert moco.temperature == reading("MoCo temperature")
    assert moco.queue.shape == (2, reading("MoCo queue"), reading("representation dimension"))
    assert moco.momentum == reading("MoCo momentum")


def test_swav_is_that_of_the_paper(paper):
    swav = paper["swav"]
    assert swav.temperature == reading("SwAV temperature")
    assert len(swav.prototypes.weight) == reading("SwAV prototypes")
    assert swav.queue.shape == (2, reading("SwAV queue"), reading("embedding dimension"))
    assert swav.queue_start == reading("SwAV epochs before the queue")
    assert swav.frozen_epochs == reading("SwAV epochs of frozen prototypes")
    assert swav.projector[0].out_features == reading("projector hidden dimension")


def test_vicreg_is_that_of_the_paper(paper):
    names = ("invariance", "variance", "covariance")
    assert paper["vicreg"].weights == tuple(reading(f"VICReg {name}") for name in names)
    assert paper["vicreg"].projector[0].out_features == reading("projector hidden dimension")
    assert paper["vicreg"].embedding_shape == (reading("embedding dimension"),)


def test_dino_is_that_of_the_paper(paper):
    dino, config = paper["dino"], recipe("dino", preset="paper")
    outputs, bottleneck = dino.head.last.weight.shape
    assert (outputs, bottleneck) == (
        reading("DINO embedding dimension"), reading("DINO bottleneck"),
    )  # fmt: skip
    assert dino.head.mlp[0].out_features == reading("projector hidden dimension")
    assert dino.temperatures == (
        reading("DINO student temperature"), reading("DINO teacher temperature"),
    )  # fmt: skip
    assert dino.start_momentum == reading("DINO first momentum")
    assert dino.frozen_epochs == reading("DINO epochs of a frozen last layer")
    frames = [config.crop * ratio for ratio in dino.crops]
    assert frames == (
        [reading("DINO global frame")] * reading("DINO global frames")
        + [reading("DINO local frame")] * reading("DINO local frames")
    )
    assert (config.optimizer, config.augmentation) == ("sgd", "dino")
    assert config.batch_size == reading("DINO batch size")
    assert config.weight_decay == reading("DINO weight decay")
    assert config.clip_norm == reading("DINO gradient norm")


def test_supervised_is_that_of_the_paper(paper):
    assert paper["supervised"].margin == reading("AAM-softmax margin")
    assert paper["supervised"].scale == reading("AAM-softmax scale")
    assert paper["supervised"].crops == (1.0,)


@pytest.mark.parametrize("framework", [name for name in FRAMEWORKS if name != "dino"])
def test_all_but_dino_are_trained_alike(framework):
    config = recipe(framework, preset="paper")
    assert (config.optimizer, config.schedule, config.weight_decay) == ("adam", "step", 0)
    assert config.clip_norm is None
    assert config.epochs == reading("epochs")
    assert config.batch_size == reading("batch size")
    assert config.learning_rate == reading("learning rate")
    assert 100 * (1 - config.decay) == pytest.approx(reading("learning rate decay"))
    assert config.decay_every == reading("epochs between decays")
    assert config.crop == reading("frame")
    assert config.reference_crop == reading("reference frame")
    assert config.average_last == reading("epochs averaged")


def test_one_schedule_spans_ssl_and_continuation_of_dino():
    run = recipe("dino", "ssps-clustering", preset="paper")
    ssl = run.start_from
    assert ssl.epochs == reading("DINO epochs")
    assert (run.first_epoch, run.last_epoch) == (80, 100)
    assert ssl.schedule_end == run.schedule_end == 100
    top, warm = reading("DINO learning rate"), reading("DINO warm-up epochs")
    assert learning_rate(ssl, warm / 2) == pytest.approx(top / 2)
    assert learning_rate(ssl, warm) == pytest.approx(top)
    assert learning_rate(ssl, 80) == learning_rate(run, 80) == pytest.approx(0.0234, abs=5e-5)
    assert learning_rate(run, 100) == pytest.approx(reading("DINO final learning rate"))
    assert recipe("dino", preset="paper", schedule_epochs=80).schedule_end == 80
    assert learning_rate(recipe("dino", preset="paper", schedule_epochs=80), 80) == 1e-5


@pytest.mark.parametrize("framework", ["simclr", "moco", "swav", "vicreg", "dino"])
def test_ssps_follows_the_paper(framework):
    clustering = recipe(framework, "ssps-clustering", preset="paper")
    assert clustering.clusters == clustering.positive_queue == 25_000
    assert clustering.window == reading("SSPS-Clustering default M")
    assert clustering.epochs == reading("SSPS epochs")
    nearest = recipe(framework, "ssps-nn", preset="paper")
    assert (nearest.window, nearest.positive_queue) == (reading("SSPS-NN default M"), None)  # N
    search = recipe(framework, "ssps-clustering", "fast_resnet34", "paper")
    assert search.epochs == reading("SSPS epochs, hyper-parameter search")


def test_the_positive_queue_follows_k():
    other = recipe("simclr", "ssps-clustering", preset="paper", clusters=6_000, window=0)
    assert (other.positive_queue, other.window) == (6_000, 0)
    held = recipe("simclr", "ssps-clustering", preset="paper", clusters=6_000, positive_queue=9)
    assert held.positive_queue == 9


def size(preset):
    """Utterances and speakers of the training corpus."""
    if preset == "paper":
        return reading("training utterances"), reading("training speakers")
    corpus = COMMON[preset]["corpus_options"]
    utterances = corpus["speakers"] * corpus["recordings"] * corpus["utterances"]
    return utterances, corpus["speakers"]


def reach(framework, preset):
    """Part of an epoch after which a moving average has forgotten all but 1 / e."""
    config = recipe(framework, preset=preset)
    model = built(framework, preset)
    return 1 / (1 - model.momentum) * config.batch_size / size(preset)[0]


def test_mini_keeps_the_paper_s_proportions():  # but for SwAV's prototypes, which were searched
    moco, swav, vicreg, dino = (built(n, "mini") for n in ("moco", "swav", "vicreg", "dino"))
    utterances, speakers = size("mini")
    dim = ENCODERS["mini"]["ecapa_tdnn"]["dim"]
    for model in (swav, vicreg):  # rule 1
        assert model.projector[0].out_features == 4 * dim
        assert model.embedding_shape == (dim,)
    assert dino.head.mlp[0].out_features == 4 * dim
    assert dino.embedding_shape == (2, dim // 2)
    per_speaker = reading("DINO embedding dimension") / reading("training speakers")  # rule 2
    assert len(dino.center) / speakers == pytest.approx(per_speaker, rel=0.02)
    memory = reading("MoCo queue") / reading("training utterances")  # rule 3
    assert moco.queue.shape[1] / utterances == pytest.approx(memory, rel=0.05)
    assert reach("moco", "mini") == pytest.approx(reach("moco", "paper"), rel=0.02)


def test_mini_keeps_the_paper_s_spans_of_training():
    run = recipe("dino", "ssps-nn", preset="mini")
    assert run.warmup_epochs == max(1, round(0.1 * run.schedule_end))


def test_the_learning_rate_of_dino_is_in_proportion_to_its_batch():
    mini, paper = (recipe("dino", preset=preset) for preset in ("mini", "paper"))
    per_utterance = paper.learning_rate / paper.batch_size
    assert mini.learning_rate / mini.batch_size == pytest.approx(per_utterance)


@pytest.mark.parametrize(("preset", "framework"), SMALL)
def test_frames_and_memories_fit_the_corpus(preset, framework):
    config, model = recipe(framework, preset=preset), built(framework, preset)
    seconds = config.corpus_options.get("seconds", 4.0)
    assert max(model.crops) * config.crop <= seconds
    assert config.warmup_epochs < config.epochs
    if framework in ("moco", "swav"):
        assert config.batch_size <= model.queue.shape[1] < size(preset)[0]
        whole_batches = model.queue.shape[1] % config.batch_size == 0
        assert whole_batches


def test_options_of_the_framework_are_added_to_the_recipe_s():
    config = recipe("moco", preset="mini", framework_options={"symmetric": False})
    assert config.framework_options == {"queue_size": 384, "momentum": 0.978, "symmetric": False}
    assert recipe("moco").framework_options == {"queue_size": 384, "momentum": 0.978}


@pytest.mark.parametrize("positives", ["supervised", "ssps-nn", "ssps-clustering"])
def test_the_supervised_framework_has_no_positives(positives):
    with pytest.raises(ValueError, match=f"'{positives}'.*supervised framework, which has none"):
        recipe("supervised", positives)
    assert recipe("supervised", "ssl-continued").start_from == recipe("supervised")
