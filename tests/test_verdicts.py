"""Requirements are read as they are written, and never pass unseen."""
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isaac.core import InputError
from isaac.verdicts import RELATIONS, fails, judge, overall, requirements

numbers = st.floats(-1e6, 1e6).map(lambda x: float(f"{x:.6g}"))


@given(st.sampled_from(sorted(RELATIONS)), numbers, numbers, st.booleans())
def test_a_written_requirement_means_what_python_means(relation, bound, value, warned):
    text = f"{'WARN: ' if warned else ''}RS.low{relation} {bound}"
    found = judge(requirements([text]), {"RS.low": value}).iloc[0]
    holds = eval(f"{value!r} {relation} {bound!r}")
    assert found["verdict"] == ("PASS" if holds else "WARN" if warned else "FAIL")
    assert (found["requirement"], found["found"]) == (text, value)


@given(st.sampled_from(sorted(RELATIONS)), numbers, st.sampled_from([math.nan, "not asked"]))
def test_what_is_not_known_never_passes(relation, bound, fact):
    found = judge(requirements([f"q {relation} {bound}"]), {"q": fact}).iloc[0]
    assert found["verdict"] == "FAIL" and math.isnan(found["found"]) and found["reason"]


@given(st.lists(st.sampled_from(["RS > 0", "RS < 0", "warn: RS < 0"]), max_size=5))
def test_the_worst_verdict_decides(texts):
    verdicts = judge(requirements(texts), {"RS": 0.5})
    expected = "FAIL" if "RS < 0" in texts else "WARN" if "warn: RS < 0" in texts else "PASS"
    assert overall(verdicts) == expected
    assert fails(verdicts) == (expected == "FAIL") and fails(verdicts, "warn") == (expected != "PASS") and not fails(verdicts, "never")


@pytest.mark.parametrize("text", ["", "RS", "RS >", "> 0.5", "RS == 0.5", "RS > half", "RS > 0.5 and more", "beats placebo priors", "fail: RS > 0"])
def test_everything_else_is_refused_by_name(text):
    with pytest.raises(InputError, match="requirement 2 text") as refused: requirements(["RS > 0.5", text])
    assert [p.value for p in refused.value.problems] == [text]


def test_shares_may_be_written_in_percent():
    a, b, c = requirements(["auditable > 90%", "auditable > 90 %", "beats 97.5 % of the placebo priors"])
    assert a.bound == b.bound == 0.9 and (c.quantity, c.relation, c.bound) == ("placebo", ">=", 0.975)


def test_a_misspelt_quantity_is_refused_before_anything_is_judged():
    with pytest.raises(InputError, match="RS.lo.*Known: RS, RS.low"): judge(requirements(["RS > 0.5", "RS.lo > 0.5"]), {"RS": 1, "RS.low": 1})
