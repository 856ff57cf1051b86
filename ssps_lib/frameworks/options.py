"""What the options of the frameworks may be: looked at once, where a run names them."""

import math
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from numbers import Integral, Real


def _number(x: object) -> bool:
    return isinstance(x, Real) and not isinstance(x, bool) and math.isfinite(x)


def _whole(x: object) -> bool:
    return isinstance(x, Integral) and not isinstance(x, bool)


RULES: tuple[tuple[str, Callable, str], ...] = (
    (
        "a number above 0",
        lambda x: _number(x) and x > 0,
        "temperature student_temperature teacher_temperature epsilon scale",
    ),
    (
        "a number of at least 0",
        lambda x: _number(x) and x >= 0,
        "invariance variance covariance",
    ),
    ("a number in [0, 1]", lambda x: _number(x) and 0 <= x <= 1, "momentum center_momentum"),
    ("radians in [0, pi/2]", lambda x: _number(x) and 0 <= x <= math.pi / 2, "margin"),
    (
        "a whole number of at least 0",
        lambda x: _whole(x) and x >= 0,
        "queue_size queue_start frozen_epochs local_crops",
    ),
    (
        "a whole number of at least 1",
        lambda x: _whole(x) and x >= 1,
        "hidden dim bottleneck iterations",
    ),
    (
        "a whole number of at least 2",
        lambda x: _whole(x) and x >= 2,
        "prototypes outputs classes",
    ),
    ("'mean' or 'sum'", lambda x: x in ("mean", "sum"), "reduction"),
    ("'bottleneck' or 'logits'", lambda x: x in ("bottleneck", "logits"), "queue"),
    (
        "True or False",
        lambda x: isinstance(x, bool),
        "symmetric per_prototype pseudo_negatives shuffled_norms",
    ),
)
EXPECTED = {name: (text, holds) for text, holds, names in RULES for name in names.split()}
"""By option: what its value is expected to be, and whether a value is."""


def check_options(framework: type, name: str, options: Mapping[str, object]) -> None:
    """ValueError for an option that a framework of that name does not have, or a bad value.

    >>> from ssps_lib.frameworks import SimCLR
    >>> check_options(SimCLR, "simclr", {"temperature": 0})
    Traceback (most recent call last):
    ValueError: temperature is 0, expected a number above 0 (the paper: 0.03).
    """
    _, *known = signature(framework).parameters.values()  # the first is the encoder
    defaults = {parameter.name: parameter.default for parameter in known}
    for option, value in options.items():
        if option not in defaults:
            raise ValueError(
                f"'{name}' has no option '{option}', expected some of {', '.join(defaults)}."
            )
        expected, holds = EXPECTED[option]
        if not holds(value):
            default = defaults[option]
            paper = "" if default is Parameter.empty else f" (the paper: {default!r})"
            raise ValueError(f"{option} is {value!r}, expected {expected}{paper}.")
