"""Old addresses of pages lead to the pages of today."""

import re

import pytest
from test_api import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_address_leads_to_a_page(old, build):
    new = build.html / f"{MOVED[old]}.html"
    text = (build.html / f"{old}.html").read_text()
    assert re.search(r'http-equiv="refresh" content="\d; url=(\S+)"', text)[1] == new.name
    assert new.is_file() and "<article" in new.read_text()


def test_no_page_of_today_is_hidden(build):
    pages = {page.stem for page in build.pages} | {"api/ssps_book"}
    assert not pages & set(MOVED) and set(MOVED.values()) <= pages
