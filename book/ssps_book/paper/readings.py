"""Numbers that only the text of the paper states."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """A number that only the text states. `approximate` where the paper says "around" or "~"."""

    name: str
    value: float
    unit: str
    source: str
    approximate: bool = False


READINGS = tuple(
    Reading(*row)  # type: ignore[arg-type]
    for row in [
        # corpus
        ("training utterances", 1_092_009, "", "Section IV-A"),
        ("training speakers", 5_994, "", "Section IV-A"),
        ("training recordings", 145_569, "", "Section IV-A"),
        # features and augmentation
        ("frame", 2.0, "s", "Section IV-A"),
        ("DINO local frames", 4, "", "Section IV-A"),
        ("DINO local frame", 2.0, "s", "Section IV-A"),
        ("DINO global frames", 2, "", "Section IV-A"),
        ("DINO global frame", 4.0, "s", "Section IV-A"),
        ("reference frame", 4.0, "s", "Section IV-A"),
        ("mel bands", 40, "", "Section IV-A"),
        ("window", 25.0, "ms", "Section IV-A"),
        ("hop", 10.0, "ms", "Section IV-A"),
        ("speech SNR, lowest", 13.0, "dB", "Section IV-B"),
        ("speech SNR, highest", 20.0, "dB", "Section IV-B"),
        ("music SNR, lowest", 5.0, "dB", "Section IV-B"),
        ("music SNR, highest", 15.0, "dB", "Section IV-B"),
        ("noise SNR, lowest", 0.0, "dB", "Section IV-B"),
        ("noise SNR, highest", 15.0, "dB", "Section IV-B"),
        # encoders and training
        ("ECAPA-TDNN parameters", 22.5e6, "", "Section IV-C", True),
        ("ECAPA-TDNN hidden dimension", 1024, "", "Section IV-C"),
        ("Fast ResNet-34 parameters", 1.4e6, "", "Section IV-C", True),
        ("Fast ResNet-34 base dimension", 16, "", "Section IV-C"),
        ("representation dimension", 512, "", "Section IV-C"),
        ("projector hidden dimension", 2048, "", "Section IV-C"),
        ("embedding dimension", 512, "", "Section IV-C"),
        ("epochs", 100, "", "Section IV-C"),
        ("batch size", 256, "", "Section IV-C"),
        ("learning rate", 1e-3, "", "Section IV-C"),
        ("learning rate decay", 5.0, "%", "Section IV-C"),
        ("epochs between decays", 5, "", "Section IV-C"),
        ("DINO epochs", 80, "", "Section IV-C"),
        ("DINO batch size", 128, "", "Section IV-C"),
        ("DINO weight decay", 5e-5, "", "Section IV-C"),
        ("DINO learning rate", 0.2, "", "Section IV-C"),
        ("DINO final learning rate", 1e-5, "", "Section IV-C"),
        ("DINO warm-up epochs", 10, "", "Section IV-C"),
        ("AAM-softmax scale", 30.0, "", "Section IV-C"),
        ("AAM-softmax margin", 0.2, "", "Section IV-C"),
        # frameworks
        ("SimCLR temperature", 0.03, "", "Section IV-C1"),
        ("MoCo temperature", 0.03, "", "Section IV-C2"),
        ("MoCo queue", 65_536, "", "Section IV-C2"),
        ("MoCo momentum", 0.999, "", "Section IV-C2"),
        ("SwAV temperature", 0.1, "", "Section IV-C3"),
        ("SwAV prototypes", 3_000, "", "Section IV-C3"),
        ("SwAV queue", 3_840, "", "Section IV-C3"),
        ("SwAV epochs before the queue", 15, "", "Section IV-C3"),
        ("SwAV epochs of frozen prototypes", 1, "", "Section IV-C3"),
        ("VICReg invariance", 1.0, "", "Section IV-C4"),
        ("VICReg variance", 1.0, "", "Section IV-C4"),
        ("VICReg covariance", 0.04, "", "Section IV-C4"),
        ("DINO bottleneck", 256, "", "Section IV-C5"),
        ("DINO embedding dimension", 65_536, "", "Section IV-C5"),
        ("DINO epochs of a frozen last layer", 1, "", "Section IV-C5"),
        ("DINO student temperature", 0.1, "", "Section IV-C5"),
        ("DINO teacher temperature", 0.04, "", "Section IV-C5"),
        ("DINO first momentum", 0.996, "", "Section IV-C5"),
        ("DINO last momentum", 1.0, "", "Section IV-C5"),
        ("DINO gradient norm", 3.0, "", "Section IV-C5"),
        # SSPS
        ("SSPS epochs", 20, "", "Section IV-D"),
        ("SSPS epochs, hyper-parameter search", 10, "", "Section IV-D"),
        ("k-means iterations", 10, "", "Section IV-D"),
        ("SSPS-NN default M", 50, "", "Section IV-D"),
        ("SSPS-Clustering default K", 25_000, "", "Section IV-D"),
        ("SSPS-Clustering default M", 1, "", "Section IV-D"),
        # evaluation
        ("epochs averaged", 10, "", "Section IV-E"),
        ("P_target", 0.01, "", "Section IV-E"),
        ("C_miss", 1.0, "", "Section IV-E"),
        ("C_fa", 1.0, "", "Section IV-E"),
        # results
        ("SimCLR SSL EER, Fast ResNet-34", 9.05, "%", "Section V-B"),
        ("SimCLR supervised EER, Fast ResNet-34", 3.93, "%", "Section V-B"),
        ("SSPS-NN speaker accuracy, M = 50", 50.0, "%", "Section V-B, Figure 4a", True),
        ("SSPS-NN recording accuracy, M = 50", 25.0, "%", "Section V-B, Figure 4a", True),
        ("SimCLR EER reduction by SSPS", 58.0, "%", "Abstract, Sections V-C and VI"),
        ("NMI ratio before SSPS", 1.01, "", "Section V-E, Figure 7", True),
        ("NMI ratio after SSPS", 1.09, "", "Section V-E, Figure 7", True),
        ("NMI ratio gain", 8.0, "%", "Section V-E, Figure 7", True),
        ("NMI clusters", 6_000, "", "Section V-E, Figure 7"),
    ]
)
_BY_NAME = {r.name: r for r in READINGS}


def reading(name: str) -> float:
    """The value of a reading by its name; KeyError for an unknown one.

    >>> reading("training speakers")
    5994
    """
    return _BY_NAME[name].value


# EER on VoxCeleb1-O that the authors' README gives for the released ECAPA-TDNN with SSL positives.
README_SSL_EER = {"simclr": 6.41, "moco": 6.48, "swav": 8.12, "vicreg": 7.42, "dino": 2.82}
