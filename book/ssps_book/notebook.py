"""What a chapter does with its parameters before anything else (book chapter 1)."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import Markdown

from ssps_lib.recipes import PRESETS

PLAIN = (str, int, float, bool, list, dict, type(None))  # what papermill can inject
INTERACTIVE = ("In", "Out")  # the shell's own plain values
LEAST = {"seed": 0, "seeds": 0, "num_processes": 1}
SEEDS = {"smoke": 1, "mini": 3, "paper": 1}  # runs of a kind, where `seeds` is 0
FAST = {"precision": "bf16", "compiler": "inductor"}  # what a run may save time with


def check(namespace: Mapping[str, Any]) -> None:
    """Raise ValueError, by name, for a parameter that the chapter does not have or cannot use.

    `namespace` is the chapter's `globals()` just below its parameters cell, where every parameter
    is annotated. Papermill passes a misspelt parameter on with no more than a message; here it is
    a plain value without an annotation.

    >>> check({"__annotations__": {"seed": int}, "seed": 3})
    >>> check({"__annotations__": {"seed": int}, "seed": 3, "sead": 4})
    Traceback (most recent call last):
    ValueError: unknown parameter 'sead': this chapter has seed
    """
    kinds = namespace.get("__annotations__", {})
    for name, value in namespace.items():
        private = name.startswith("_") or name in INTERACTIVE or not isinstance(value, PLAIN)
        if not private and name not in kinds:
            known = ", ".join(kinds) or "none"
            raise ValueError(f"unknown parameter {name!r}: this chapter has {known}")
    for name, kind in kinds.items():
        _check_value(name, namespace[name], kind)
    if namespace.get("preset") == "paper" and namespace.get("corpus") == "simulated":
        raise ValueError(
            "preset 'paper' is the published recipe, which the simulated corpus is too small for: "
            "name a corpus, as -p corpus voxceleb"
        )


def _check_value(name: str, value: Any, kind: type) -> None:
    fits = isinstance(value, (int, float)) if kind is float else isinstance(value, kind)
    if not fits or (isinstance(value, bool) and kind in (int, float)):
        wanted = getattr(kind, "__name__", kind)
        given = type(value).__name__
        raise ValueError(f"{name} is {value!r}, a {given}, and should be a {wanted}")
    if name == "preset" and value not in PRESETS:
        raise ValueError(f"preset is {value!r}, expected one of {', '.join(PRESETS)}")
    if value is not None and name in LEAST and value < LEAST[name]:
        raise ValueError(f"{name} is {value}, expected at least {LEAST[name]}")


def source(function: Callable) -> str:
    """The code of a library function without its docstring, as a page of the book shows it.

    >>> print(source(source).splitlines()[0])
    def source(function: Callable) -> str:
    """
    code = textwrap.dedent(inspect.getsource(function))
    lines, definition = code.splitlines(), ast.parse(code).body[0]
    assert isinstance(definition, ast.FunctionDef | ast.ClassDef)
    if ast.get_docstring(definition) is not None:
        first = definition.body[0]
        del lines[first.lineno - 1 : first.end_lineno]
    return "\n".join(lines)


def show(*functions: Callable) -> Markdown:
    """The code of library functions, without their docstrings, as a page shows it."""
    code = "\n\n\n".join(source(function) for function in functions)
    return Markdown(f"```python\n{code}\n```")
