"""Better starts for SSPS: an SSL training that lasts longer, and a weaker channel (chapter 13)."""

from typing import Any

from ssps_lib import recipes
from ssps_lib.corpora import simulated

# Frameworks to which SSPS comes too soon, and two ways to a better start (`better_starts`): SSL
# that lasts so many times as long, and a corpus whose channel is so many times as strong.
PATIENCE = {"vicreg": 2}
WEAKER = {"swav": (0.5, 0.25), "vicreg": (0.5,), "dino": (0.5,)}


def longer(framework: str, preset: str, times: int) -> dict[str, Any]:
    """Changes to a `recipe` whose SSL training lasts `times` as long before SSPS starts.

    The learning rate falls as far over these epochs as it did over the recipe's (chapter 13); a
    cosine, which spans the continuation too, falls farther.

    Raises:
        ValueError: an unknown framework or preset; `times` that is no whole number above 0.

    >>> longer("vicreg", "mini", 2)
    {'epochs': 24, 'decay': 0.9592}
    """
    recipes.check("preset", preset, recipes.PRESETS)
    recipes.check("framework", framework, recipes.FRAMEWORKS)
    if not isinstance(times, int) or times < 1:
        raise ValueError(f"SSL is to last {times!r} times as long, expected a whole number above 0")
    base = {**recipes.COMMON[preset], **recipes.FRAMEWORK[preset].get(framework, {})}
    return {"epochs": times * base["epochs"], "decay": round(base["decay"] ** (1 / times), 4)}


def weaker_channel(preset: str, times: float = 0.5) -> dict[str, Any]:
    """Changes to a `recipe`: the channel of its simulated corpus `times` as strong (chapter 13).

    Raises:
        ValueError: an unknown preset; negative `times`.

    >>> weaker_channel("mini")["corpus_options"]["channel"]
    0.7
    """
    recipes.check("preset", preset, recipes.PRESETS)
    if not times >= 0:
        raise ValueError(f"the channel is to be {times!r} times as strong, expected 0 or more")
    options = recipes.COMMON[preset].get("corpus_options", {})
    whole = options.get("channel", simulated.Size.channel)
    return {"corpus_options": {**options, "channel": times * whole}}


def better_starts(preset: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The recipes from whose SSL training SSPS starts better: framework, label, changes.

    >>> better_starts("mini")[0]
    ('vicreg', '2 x SSL', {'epochs': 24, 'decay': 0.9592})
    """
    patient = [(name, f"{n} x SSL", longer(name, preset, n)) for name, n in PATIENCE.items()]
    return patient + [
        (name, f"channel x {times}", weaker_channel(preset, times))
        for name, strengths in WEAKER.items()
        for times in strengths
    ]
