"""Pickles may hold plain containers and numbers, and nothing that could run."""

import collections
import os
import pickle
import random
import subprocess

import numpy as np
import pytest

from plugins.nasbench201.pickles import load_plain


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_and_numbers_come_back(protocol):
    value = {"a": [1, 2.5, None, True], ("b", 3): "text", "c": {1, 2}, "d": -(10**30)}
    if protocol < 4:
        value.pop("c")  # sets are function calls in the older protocols
    assert load_plain(pickle.dumps(value, protocol)) == value


def test_ordered_dictionaries_and_numpy_numbers_come_back_as_plain_ones():
    value = collections.OrderedDict(a=np.float64(1.5), b=np.int64(-7), c=np.float32(0.25))
    loaded = load_plain(pickle.dumps(value))
    assert loaded == {"a": 1.5, "b": -7, "c": 0.25}
    assert [type(number) for number in loaded.values()] == [float, int, float]
    assert type(loaded) is dict


@pytest.mark.parametrize(
    "function", [os.system, subprocess.Popen, eval, exec, getattr, print, np.array, bytearray]
)
def test_a_pickle_that_calls_something_is_refused_before_it_runs(function, tmp_path):
    witness = tmp_path / "it-ran"
    with pytest.raises(ValueError, match="found a reference to"):
        load_plain(pickle.dumps(Calls(function, f"touch {witness}")))
    assert not witness.exists()


def test_numpy_values_that_are_no_numbers_are_refused():
    from numpy._core.multiarray import scalar

    with pytest.raises(ValueError, match="plain number"):
        load_plain(pickle.dumps(Calls(scalar, np.dtype("V4"), b"abcd")))


def test_damage_is_a_value_error_and_nothing_else():
    good = pickle.dumps({"key": [1.5, 2.5, {"x": "y" * 50}]})
    source = random.Random(0)
    for _ in range(2000):
        damaged = bytearray(good)
        damaged[source.randrange(len(good))] = source.randrange(256)
        damaged = damaged[: source.randrange(len(good))] if source.random() < 0.3 else damaged
        try:
            load_plain(bytes(damaged))
        except ValueError:
            continue
