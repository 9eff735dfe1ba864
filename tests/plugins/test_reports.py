"""Values out of reports that may be forged."""

import math

import pytest

from plugins.contract import ReportError
from plugins.reports import integer, number


def test_what_is_right_comes_back():
    assert integer({"a": 3}, "a", 0, 3) == 3
    assert number({"a": 3}, "a", 0, 3) == 3.0
    assert number({"a": 0.25}, "a", 0, 3) == 0.25


@pytest.mark.parametrize("value", [None, "3", True, 3.0, -1, 11, 10**400, [3], math.nan])
def test_what_is_no_integer_in_range_is_refused(value):
    with pytest.raises(ReportError, match="'a' to be an integer from 0 to 10"):
        integer({"a": value}, "a", 0, 10)


@pytest.mark.parametrize("value", [None, "3", True, -0.1, 10.1, 10**400, math.nan, math.inf])
def test_what_is_no_number_in_range_is_refused(value):
    with pytest.raises(ReportError, match="'a' to be a number from 0 to 10"):
        number({"a": value}, "a", 0, 10)


def test_infinity_is_refused_whatever_the_range():
    with pytest.raises(ReportError, match="number"):
        number({"a": math.inf}, "a", 0, math.inf)


@pytest.mark.parametrize("report", [{}, [], None, "a", {"b": 1}])
def test_a_report_without_the_key_is_refused(report):
    with pytest.raises(ReportError, match="expected a report with 'a'"):
        integer(report, "a", 0, 1)
