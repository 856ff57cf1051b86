"""What stands beside the code: one version, paths that exist, a citation that can be read."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import ssps_lib

ROOT = Path(ssps_lib.__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def test_one_version():
    project = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert project == ssps_lib.__version__ == str(citation["version"])
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] in ("Unreleased", project)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md", "README.md"])
def test_links_lead_to_files(name):
    links = re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", (ROOT / name).read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_paths_that_the_guide_names_exist():
    """A path in backticks; where it has a placeholder, its folder."""
    named = re.findall(r"`((?:book|ssps_lib|tests)/[\w./<>]*)", GUIDE)
    known = [re.split("<|NN_", name)[0] for name in named]
    assert len(known) > 10
    assert [path for path in known if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("room", ["encoders", "frameworks", "positives"])
def test_a_part_is_one_entry_of_the_dictionary_that_the_guide_names(room):
    table = {"encoders": "ENCODERS", "frameworks": "FRAMEWORKS", "positives": "SAMPLERS"}[room]
    assert f"`{table}` in `{room}/__init__.py`" in GUIDE
    code = (ROOT / "ssps_lib" / room / "__init__.py").read_text()
    assert re.search(rf"^{table}: dict", code, re.M)


def test_the_citation_names_software_and_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert {"message", "title", "authors", "license"} <= set(citation)
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Lepage", "Dehak"]
    bibliography = (ROOT / "book" / "references.bib").read_text()
    assert paper["title"] in re.sub(r"[{}]", "", bibliography)


def test_commits_are_checked_by_tools_of_the_environment():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]  # nothing is fetched
    entries = [hook["entry"].split()[0] for hook in hooks[0]["hooks"]]
    assert entries == ["ruff", "mypy", "python"]


def test_types_are_sound():
    """In the configuration of pyproject.toml; other packages count as unknown."""
    pytest.importorskip("mypy")
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
