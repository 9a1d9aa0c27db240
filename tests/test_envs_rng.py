"""Counter-based draws: the same bits compiled and in NumPy, and as good as random."""

import json
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy import stats

from slategym.envs import rng

VECTORS = json.loads((Path(__file__).parent / "golden" / "draws_v1.json").read_text())


@numba.njit
def _compiled(kind: int, bits: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(bits)):
        if kind == 0:
            out[n] = rng.uniform(bits[n])
        elif kind == 1:
            out[n] = rng.normal(bits[n])
        elif kind == 2:
            out[n] = rng.gumbel(bits[n])
        else:
            out[n] = rng.exponential(bits[n])


@numba.njit
def _compiled_bits(counters: np.ndarray, out: np.ndarray) -> None:
    for n in range(len(counters)):
        seed, stream, episode, step, purpose, index = counters[n]
        at = rng.step_key(rng.episode_key(seed, stream, episode), step)
        out[n] = rng.bits(at, purpose, index)


def bits_of(counters: np.ndarray) -> np.ndarray:
    """The NumPy statement for counters (N, 6)."""
    seed, stream, episode, step, purpose, index = counters.T
    at = rng.step_key_of(rng.episode_key_of(seed, stream, episode), step)
    return rng.bits_of(at, purpose, index)


def counters(**varying: np.ndarray) -> np.ndarray:
    """Counters (N, 6), all zero but those given."""
    names = ("seed", "stream", "episode", "step", "purpose", "index")
    rows = np.zeros((len(next(iter(varying.values()))), 6), dtype=np.uint64)
    for name, values in varying.items():
        rows[:, names.index(name)] = values
    return rows


def test_the_function_is_the_one_of_the_schema_version() -> None:
    assert VECTORS["draw_version"] == rng.DRAW_VERSION
    rows = np.array([entry["counters"] for entry in VECTORS["vectors"]], dtype=np.uint64)
    expected = np.array([int(entry["bits"], 16) for entry in VECTORS["vectors"]], dtype=np.uint64)
    np.testing.assert_array_equal(bits_of(rows), expected)
    for name in ("uniform", "normal", "gumbel", "exponential"):
        given = [float.fromhex(entry[name]) for entry in VECTORS["vectors"]]
        np.testing.assert_array_equal(getattr(rng, f"{name}_of")(expected), given)


def test_mix_is_the_published_splitmix64() -> None:
    # The first outputs for seed 1234567 (Vigna's splitmix64.c, also in Rosetta Code).
    state = np.array([1234567], dtype=np.uint64)
    golden = np.array([0x9E3779B97F4A7C15], dtype=np.uint64)
    found = [int(rng.mix_of(state + golden * np.uint64(n))[0]) for n in (1, 2, 3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_compiled_and_numpy_give_the_same_bits() -> None:
    rows = np.random.default_rng(0).integers(0, 2**31, (20_000, 6), dtype=np.uint64)
    rows[:, 4] %= 6
    bits = np.empty(len(rows), dtype=np.uint64)
    _compiled_bits(rows, bits)
    np.testing.assert_array_equal(bits, bits_of(rows))
    edges = np.array([0, 1, 2**12 - 1, 2**12, 2**63, 2**64 - 1], dtype=np.uint64)
    bits = np.concatenate([bits, edges])
    out = np.empty(len(bits))
    for kind, name in enumerate(("uniform", "normal", "gumbel", "exponential")):
        _compiled(kind, bits, out)
        np.testing.assert_array_equal(out, getattr(rng, f"{name}_of")(bits), err_msg=name)


def test_a_uniform_is_never_zero_or_one_and_every_draw_is_finite() -> None:
    edges = np.array([0, 2**64 - 1], dtype=np.uint64)
    low, high = rng.uniform_of(edges)
    assert 0 < low < 1e-15
    assert 1 - 1e-15 < high < 1
    for name in ("normal", "gumbel", "exponential"):
        assert np.isfinite(getattr(rng, f"{name}_of")(edges)).all()


@pytest.mark.parametrize("varying", ["seed", "stream", "episode", "step", "purpose", "index"])
def test_draws_along_each_counter_are_uniform_and_uncorrelated(varying: str) -> None:
    n = 40_000
    u = rng.uniform_of(bits_of(counters(**{varying: np.arange(n)})))
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    for lag in (1, 2, 7, 64):
        r = np.corrcoef(u[:-lag], u[lag:])[0, 1]
        assert abs(r) < 4.5 / np.sqrt(n), (lag, r)
    # Pairs of neighbours fill the square: 16 x 16 cells.
    cells = (u[:-1] * 16).astype(int) * 16 + (u[1:] * 16).astype(int)
    assert stats.chisquare(np.bincount(cells, minlength=256)).pvalue > 1e-4


def test_every_output_bit_flips_half_the_time_when_one_counter_moves_by_one() -> None:
    n = 4_000
    base = bits_of(counters(stream=np.arange(n), index=np.arange(n) % 20))
    for name in ("seed", "stream", "episode", "step", "purpose", "index"):
        moved = counters(stream=np.arange(n), index=np.arange(n) % 20)
        moved[:, ("seed", "stream", "episode", "step", "purpose", "index").index(name)] += 1
        flips = base ^ bits_of(moved)
        share = [((flips >> np.uint64(bit)) & np.uint64(1)).mean() for bit in range(64)]
        assert np.abs(np.array(share) - 0.5).max() < 5 * 0.5 / np.sqrt(n), name


def test_distributions_are_what_they_are_called() -> None:
    bits = bits_of(counters(index=np.arange(50_000)))
    assert stats.kstest(rng.normal_of(bits), "norm").pvalue > 1e-4
    assert stats.kstest(rng.gumbel_of(bits), "gumbel_r").pvalue > 1e-4
    assert stats.kstest(rng.exponential_of(bits), "expon").pvalue > 1e-4
    counts = np.bincount(rng.below_of(bits, 7), minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_logarithm_and_normal_quantile_are_accurate() -> None:
    bits = bits_of(counters(index=np.arange(20_000)))
    u = rng.uniform_of(bits)
    np.testing.assert_allclose(rng.natural_log_of(u), np.log(u), rtol=4e-16, atol=2e-16)
    np.testing.assert_allclose(rng.normal_of(bits), stats.norm.ppf(u), rtol=1e-13, atol=1e-13)
