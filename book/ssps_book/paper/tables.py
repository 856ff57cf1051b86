"""Tables I-V as rows (Sections V-A to V-F)."""

from collections.abc import Iterator
from dataclasses import dataclass

BENCHMARKS = ("VoxCeleb1-O", "VoxCeleb1-E", "VoxCeleb1-H")
ECAPA, RESNET = "ecapa_tdnn", "fast_resnet34"
FRAMEWORKS = {
    "simclr": "SimCLR", "moco": "MoCo", "swav": "SwAV", "vicreg": "VICReg", "dino": "DINO",
    "supervised": "Supervised",
}  # fmt: skip
POSITIVES = {
    "ssl": "SSL",
    "ssps-nn": "SSPS-NN",
    "ssps-clustering": "SSPS-Clustering",
    "ssps-clustering-c": "SSPS-Clustering (C)",
    "supervised": "Supervised",
}


@dataclass(frozen=True)
class Result:
    """One published system on one benchmark.

    Attributes:
        source: table it is printed in.
        framework: name in `FRAMEWORKS`, or the printed name of another group's system (Table IV).
        positives: name in `POSITIVES`; None where a system samples no positive, or another group's.
        encoder: "ecapa_tdnn", "fast_resnet34", or None where the table does not say.
        eer, min_dcf: percent and fraction; minDCF is None where it is not reported.
        k, m: clusters and sampling window of SSPS.
        reduction: the printed relative EER reduction over SSL positives, percent (Table I).
        augmentation: whether training audio was augmented (Table V).
        group: "contrastive" or "self-distillation" (Table IV).
        citation: key in the book's bibliography (Table IV).
    """

    source: str
    framework: str
    positives: str | None
    encoder: str | None
    eer: float
    min_dcf: float | None
    benchmark: str = "VoxCeleb1-O"
    k: int | None = None
    m: int | None = None
    reduction: float | None = None
    augmentation: bool = True
    group: str | None = None
    citation: str | None = None


def _table_1() -> Iterator[Result]:
    rows = [
        ("simclr", "ssl", 6.30, 0.5286, None),
        ("simclr", "supervised", 1.72, 0.2395, 72.62),
        ("moco", "ssl", 6.20, 0.5501, None),
        ("moco", "supervised", 1.75, 0.2547, 71.77),
        ("swav", "ssl", 7.97, 0.6097, None),
        ("swav", "supervised", 4.38, 0.4837, 45.06),
        ("vicreg", "ssl", 7.70, 0.5883, None),
        ("vicreg", "supervised", 4.52, 0.4993, 41.30),
        ("dino", "ssl", 3.07, 0.3616, None),
        ("dino", "supervised", 2.36, 0.2712, 23.14),
        ("supervised", None, 1.34, 0.1521, None),
    ]
    for framework, positives, eer, dcf, reduction in rows:
        yield Result("Table I", framework, positives, ECAPA, eer, dcf, reduction=reduction)


def _table_2() -> Iterator[Result]:
    rows = [
        ("ssl", None, None, 9.41, 0.6378),
        ("ssps-nn", None, 1, 8.85, 0.6240),
        ("ssps-nn", None, 10, 8.65, 0.6186),
        ("ssps-nn", None, 25, 8.38, 0.6189),
        ("ssps-nn", None, 50, 8.15, 0.6145),
        ("ssps-nn", None, 100, 8.41, 0.6164),
        ("ssps-clustering", 6_000, 0, 6.63, 0.5493),
        ("ssps-clustering", 10_000, 0, 6.82, 0.5629),
        ("ssps-clustering", 25_000, 0, 7.30, 0.5805),
        ("ssps-clustering", 25_000, 1, 5.80, 0.5250),
        ("ssps-clustering", 25_000, 2, 5.73, 0.5258),
        ("ssps-clustering", 25_000, 3, 6.06, 0.5410),
        ("ssps-clustering", 25_000, 5, 6.85, 0.5672),
        ("ssps-clustering", 50_000, 0, 7.75, 0.5829),
        ("ssps-clustering", 50_000, 1, 6.27, 0.5351),
        ("ssps-clustering", 50_000, 2, 6.11, 0.5394),
        ("ssps-clustering", 50_000, 3, 6.12, 0.5343),
        ("ssps-clustering", 50_000, 5, 6.15, 0.5282),
        ("ssps-clustering", 100_000, 0, 8.25, 0.6046),
        ("ssps-clustering", 100_000, 1, 7.07, 0.5725),
        ("ssps-clustering", 100_000, 2, 6.87, 0.5549),
        ("ssps-clustering", 100_000, 3, 6.72, 0.5570),
        ("ssps-clustering", 100_000, 5, 6.58, 0.5627),
        ("ssps-clustering", 150_000, 0, 8.29, 0.6170),
        ("ssps-clustering", 150_000, 1, 7.54, 0.5923),
        ("ssps-clustering", 150_000, 2, 7.13, 0.5711),
        ("ssps-clustering", 150_000, 3, 7.06, 0.5766),
        ("ssps-clustering", 150_000, 5, 6.92, 0.5483),
        ("ssps-clustering-c", 6_000, 0, 13.31, 0.8125),
        ("ssps-clustering-c", 25_000, 1, 11.04, 0.7453),
        ("supervised", None, None, 3.93, 0.3900),
    ]
    for positives, k, m, eer, dcf in rows:
        yield Result("Table II", "simclr", positives, RESNET, eer, dcf, k=k, m=m)


def _table_3() -> Iterator[Result]:
    ssl = ("ssl", None, None)
    same, near = ("ssps-clustering", 6_000, 0), ("ssps-clustering", 25_000, 1)
    upper = ("supervised", None, None)
    rows = [
        ("simclr", ssl, (6.30, 0.5286), (6.86, 0.5599), (10.98, 0.6692)),
        ("simclr", same, (2.90, 0.3206), (3.38, 0.3292), (6.13, 0.4887)),
        ("simclr", near, (2.57, 0.3033), (3.11, 0.3125), (5.56, 0.4638)),
        ("simclr", upper, (1.72, 0.2395), (1.88, 0.2314), (3.66, 0.3641)),
        ("swav", ssl, (7.97, 0.6097), (8.87, 0.7052), (15.15, 0.8273)),
        ("swav", same, (7.07, 0.5847), (7.96, 0.6803), (13.93, 0.8149)),
        ("swav", near, (6.50, 0.5687), (7.35, 0.6507), (13.03, 0.8014)),
        ("swav", upper, (4.38, 0.4837), (4.92, 0.5538), (9.49, 0.7254)),
        ("vicreg", ssl, (7.70, 0.5883), (9.05, 0.7170), (15.25, 0.8431)),
        ("vicreg", same, (7.45, 0.5513), (8.56, 0.6926), (14.15, 0.8343)),
        ("vicreg", near, (6.95, 0.5262), (8.16, 0.6759), (13.51, 0.8263)),
        ("vicreg", upper, (4.52, 0.4993), (5.43, 0.6343), (10.37, 0.7908)),
        ("dino", ssl, (3.07, 0.3616), (3.32, 0.4003), (6.20, 0.5731)),
        ("dino", same, (2.78, 0.3140), (3.07, 0.3456), (5.66, 0.5158)),
        ("dino", near, (2.53, 0.2843), (2.55, 0.3150), (4.93, 0.4632)),
        ("dino", upper, (2.36, 0.2712), (2.41, 0.2986), (4.64, 0.4378)),
        ("supervised", (None, None, None), (1.34, 0.1521), (1.49, 0.1736), (2.84, 0.2887)),
    ]
    for framework, (positives, k, m), *scores in rows:
        for benchmark, (eer, dcf) in zip(BENCHMARKS, scores, strict=True):
            yield Result("Table III", framework, positives, ECAPA, eer, dcf, benchmark, k, m)


def _table_4() -> Iterator[Result]:
    contrastive = [
        ("AP + AAT", 8.65, None, "huh2020augmentation"),
        ("Contrastive + VICReg", 8.47, 0.6400, "lepage2022label"),
        ("SimCLR + MSE loss", 8.28, 0.6100, "zhang2021contrastive"),
        ("MoCo + ProtoNCE", 8.23, 0.5900, "xia2021self"),
        ("CEL", 8.01, None, "mun2020unsupervised"),
        ("SimCLR + AAT", 7.36, None, "tao2022self"),
        ("C3-MoCo", 6.40, None, "zhang2022c3dino"),
        ("DPP", 2.89, None, "tao2023self"),
        ("SimCLR-SSPS", 2.57, 0.3033, "lepage2025ssps"),
    ]
    distillation = [
        ("SSReg", 6.99, None, "sang2022self"),
        ("DINO + Cosine loss", 6.16, 0.5240, "han2022self"),
        ("DINO", 4.83, 0.4630, "cho2022non"),
        ("DINO + Curriculum", 4.47, None, "heo2023curriculum"),
        ("CA-DINO", 3.59, 0.3529, "han2024self"),
        ("RDINO", 3.29, None, "chen2023pushing"),
        ("MeMo", 3.10, None, "jin2024self"),  # printed [26], see `relations`
        ("RDINO + W-GVKT", 2.89, 0.3330, "jin2024wgvkt"),  # printed [25]
        ("DINO + RMP", 2.62, None, "kim2024self"),
        ("DINO-SSPS", 2.53, 0.2843, "lepage2025ssps"),
        ("DINO + Aug.", 2.51, None, "chen2022comprehensive"),
        ("C3-DINO", 2.50, None, "zhang2022c3dino"),
    ]
    for group, rows in (("contrastive", contrastive), ("self-distillation", distillation)):
        for name, eer, dcf, citation in rows:
            positives = "ssps-clustering" if name.endswith("-SSPS") else None
            yield Result("Table IV", name, positives, None, eer, dcf, group=group,
                         citation=citation)  # fmt: skip


def _table_5() -> Iterator[Result]:
    rows = [
        ("ssl", True, 6.30, 0.5286),
        ("ssl", False, 15.00, 0.7575),
        ("ssps-clustering", True, 2.57, 0.3033),
        ("ssps-clustering", False, 2.77, 0.2840),
    ]
    for positives, augmentation, eer, dcf in rows:
        k, m = (25_000, 1) if positives == "ssps-clustering" else (None, None)
        yield Result("Table V", "simclr", positives, ECAPA, eer, dcf, augmentation=augmentation,
                     k=k, m=m)  # fmt: skip


TABLE_1 = tuple(_table_1())
TABLE_2 = tuple(_table_2())
TABLE_3 = tuple(_table_3())
TABLE_4 = tuple(_table_4())
TABLE_5 = tuple(_table_5())
TABLES = {"I": TABLE_1, "II": TABLE_2, "III": TABLE_3, "IV": TABLE_4, "V": TABLE_5}


def find(table: tuple[Result, ...], **fields: object) -> Result:
    """The one row with these fields.

    Raises:
        KeyError: no row, or more than one, has them.

    >>> find(TABLE_3, framework="dino", k=25_000, benchmark="VoxCeleb1-E").eer
    2.55
    """
    rows = [row for row in table if all(getattr(row, f) == v for f, v in fields.items())]
    if len(rows) != 1:
        raise KeyError(f"{len(rows)} rows of the table have {fields}, exactly one was expected")
    return rows[0]
