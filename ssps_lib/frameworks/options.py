"""What the options of the frameworks may be: looked at once, where a run names them."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from math import inf, pi
from numbers import Integral, Real

Rule = tuple[type, Callable[..., bool], str]  # type, which of its values are allowed, options
RULES: dict[str, Rule] = {
    "a number above 0": (Real, lambda x: 0 < x < inf,
        "temperature student_temperature teacher_temperature epsilon scale"),
    "a number of at least 0": (Real, lambda x: 0 <= x < inf, "invariance variance covariance"),
    "a number in [0, 1]": (Real, lambda x: 0 <= x <= 1, "momentum center_momentum"),
    "radians in [0, pi/2]": (Real, lambda x: 0 <= x <= pi / 2, "margin"),
    "a whole number of at least 0": (Integral, lambda x: x >= 0,
        "queue_size queue_start frozen_epochs local_crops"),
    "a whole number of at least 1": (Integral, lambda x: x >= 1,
        "hidden dim bottleneck iterations"),
    "a whole number of at least 2": (Integral, lambda x: x >= 2, "prototypes outputs classes"),
    "'mean' or 'sum'": (str, ("mean", "sum").__contains__, "reduction"),
    "'bottleneck' or 'logits'": (str, ("bottleneck", "logits").__contains__, "queue"),
    "True or False": (bool, lambda x: True,
        "symmetric symmetric_positives per_prototype pseudo_negatives shuffled_norms"),
}  # fmt: skip
EXPECTED = {name: text for text, (*_, names) in RULES.items() for name in names.split()}
"""By option: what its value is expected to be. Options of frameworks from elsewhere have none."""


def holds(option: str, value: object) -> bool:
    """Whether an option may have this value; True and False are no numbers."""
    kind, allowed, _ = RULES[EXPECTED[option]]
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool) and allowed(value)


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
        if option in EXPECTED and not holds(option, value):
            default = defaults[option]
            paper = "" if default is Parameter.empty else f" (the paper: {default!r})"
            raise ValueError(f"{option} is {value!r}, expected {EXPECTED[option]}{paper}.")
