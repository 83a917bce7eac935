"""What the fuzz tests share: how many examples, values of every kind, and the one refusal that is allowed."""

import os

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from reid.retrieval import Gallery
from reid.utils import InputError

# The same examples in every run: a fault that is found by chance in CI helps nobody. More of them in .ci/run.
FEW = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "12")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([10**30, -(10**30), 10**400, 2**63, "a" * 5000, 0, -1, 1, "nan"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


def features(path):
    np.savez(path, features=np.ones((4, 3), np.float32), pids=np.arange(4), camids=np.zeros(4, int))


def gallery(path):
    made = Gallery(3)
    made.add(np.eye(3), [1, 2, 3])
    made.save(path)


def read_or_refuse(read, *words):
    """Whether ``read`` took the words; anything but an InputError is a fault of the toolkit."""
    try:
        read(*words)
    except InputError:
        return False
    return True
