"""The plain bias model."""

import numpy as np

from slategym.cf_baselines.biases import fit_biases
from slategym.cf_baselines.interactions import Interactions


def test_biases_are_recovered_from_a_dense_log(rng: np.random.Generator) -> None:
    user, item = rng.normal(0, 0.5, 40), rng.normal(0, 0.5, 300)
    users, items = (grid.ravel() for grid in np.meshgrid(range(40), range(300), indexing="ij"))
    values = 3 + user[users] + item[items]
    log = Interactions(
        tuple(map(str, range(40))), tuple(map(str, range(300))), users, items, values,
        np.zeros(len(users)),
    )  # fmt: skip
    model = fit_biases(log)
    assert np.abs(model.predict(users, items) - values).mean() < 0.06
    assert model.mean == np.float64(log.values.mean(dtype=np.float64))


def test_an_item_nobody_rated_has_no_bias() -> None:
    log = Interactions(
        ("a", "b"), ("x", "y"), np.array([0, 1]), np.array([0, 0]), np.array([1.0, 5.0]),
        np.zeros(2),
    )  # fmt: skip
    model = fit_biases(log)
    assert model.item_bias[1] == 0
    assert model.user_bias[0] < 0 < model.user_bias[1]
