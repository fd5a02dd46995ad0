"""The interactive page of a sweep."""

import json
import re

import pytest

import perfsim as ps
from perfsim.errors import InputError
from perfsim.export.html import interactive_html

SWEEP = ps.sweep("llama-3.1-8b", ps.Decode(context_length=1024, dtype="fp16"), "t4", batch=[1, 8])


def data_of(page):
    return json.loads(re.search(r"const data = (\{.*?\}), columns", page)[1].replace("<\\/", "</"))


def test_the_page_holds_the_numbers_of_the_sweep():
    data = data_of(interactive_html(SWEEP, x="tpot", y="energy"))
    assert data["columns"]["tpot"] == [float(value) for value in SWEEP.tpot]
    assert data["columns"]["fits"] == [False, False]  # 16 GB of weights in 16 GB
    assert data["units"]["tpot"] == "s"
    assert (data["x"], data["y"], data["points"], data["step"]) == ("tpot", "energy", 2, 1)


def test_the_page_loads_nothing_and_escapes_its_title():
    page = interactive_html(SWEEP, title="<b>x</b>")
    assert "<h1>&lt;b&gt;x&lt;/b&gt;</h1>" in page
    assert not re.search(r'(src|href)="', page)
    assert re.findall(r"https?://\S+", page) == ['http://www.w3.org/2000/svg";']  # the name of the SVG namespace


def test_an_unknown_axis_is_refused():
    with pytest.raises(InputError, match='no "speed" in the sweep; it has '):
        interactive_html(SWEEP, x="speed")
