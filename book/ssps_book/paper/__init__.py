"""What the paper reports: Tables I-V, the numbers in its text, and where they disagree.

Lepage and Dehak, "Self-Supervised Frameworks for Speaker Verification via Bootstrapped Positive
Sampling". EER in percent, minDCF (P_target = 0.01) as a fraction, on VoxCeleb1-O, -E and -H. Names
of frameworks, positives and encoders are those of `ssps_lib`, so that a run of the book finds the
row it is compared with. Every published number is one run: no seeds, no intervals.
"""

from .counterparts import counterpart, position
from .readings import READINGS, README_SSL_EER, reading
from .relations import reduction, reduction_range, relations
from .tables import (
    BENCHMARKS,
    FRAMEWORKS,
    POSITIVES,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLES,
    find,
)
