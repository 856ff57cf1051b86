import pytest

from ssps_book import notebook

KINDS = {"preset": str, "seed": int, "rate": float, "corpus": str | None}
GIVEN = {"__annotations__": KINDS, "preset": "mini", "seed": 1, "rate": 0.1, "corpus": None}


def test_good_parameters_pass_beside_what_the_shell_and_imports_leave():
    shell = {"In": ["", "seed = 1"], "Out": {}, "_i1": "seed = 1", "notebook": notebook, "f": print}
    notebook.check(GIVEN | shell | {"rate": 2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sead": 2}, "unknown parameter 'sead': this chapter has preset, seed, rate, corpus"),
        ({"seed": "1"}, "seed is '1', a str, and should be a int"),
        ({"seed": True}, "seed is True, a bool, and should be a int"),
        ({"corpus": 7}, "corpus is 7, a int"),
        ({"preset": "medium"}, "preset is 'medium', expected one of smoke, mini, paper"),
    ],
)
def test_a_bad_parameter_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        notebook.check(GIVEN | change)


def test_the_published_recipe_wants_a_corpus_that_is_large_enough():
    given = {"__annotations__": {"preset": str, "corpus": str}, "preset": "paper"}
    notebook.check(given | {"corpus": "voxceleb"})
    with pytest.raises(ValueError, match="name a corpus, as -p corpus voxceleb"):
        notebook.check(given | {"corpus": "simulated"})


@pytest.mark.parametrize(("name", "least"), [("num_processes", 1), ("seeds", 0), ("seed", 0)])
def test_a_number_below_the_least_is_named(name, least):
    notebook.check({"__annotations__": {name: int}, name: least})
    with pytest.raises(ValueError, match=f"{name} is {least - 1}, expected at least {least}"):
        notebook.check({"__annotations__": {name: int}, name: least - 1})


def outer():
    def plain(a):
        """Told
        in two lines."""
        # kept
        return a

    def bare(b):
        return "b"

    return plain, bare


def test_source_is_shown_without_docstring_and_indentation():
    plain, bare = outer()
    assert notebook.source(plain) == "def plain(a):\n    # kept\n    return a"
    assert notebook.source(bare) == 'def bare(b):\n    return "b"'
