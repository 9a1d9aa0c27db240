"""Estimators with models inside, against exact values and the plain words of their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slategym.benchmarks.ope_cumulative import cdf, cdf_mean, cvar, quantile, quantile_replicates
from slategym.benchmarks.ope_fqe import FQEConfig, StateLog, neural_fqe
from slategym.benchmarks.ope_large_actions import (
    EmbeddedLog,
    action_clusters,
    cluster_weights,
    conjunct_model,
    embedding_likelihood,
    embedding_weights,
    mips,
    offcem,
    snmips,
)
from slategym.benchmarks.ope_problems import Sessions, make_sessions
from slategym.benchmarks.ope_sequence import SequenceLog, marginal_is, sequence_log, sntis
from slategym.benchmarks.ope_tabular import (
    Chain,
    TabularLog,
    estimated_state_weights,
    exact_value,
    fqe,
    fqe_replicates,
    occupancy,
    state_weights,
)
from slategym.errors import DataError, UsageError

seeds = st.integers(0, 10_000)
few = settings(max_examples=20, deadline=None)


def played(problem: Sessions, units: int, seed: int) -> tuple[SequenceLog, TabularLog, np.ndarray]:
    """Draw sessions whose states and actions are kept."""
    rng = np.random.default_rng(seed)
    chain, steps = problem.chain, problem.steps
    shape = (units, steps)
    states, actions = np.zeros(shape, int), np.zeros(shape, int)
    rewards, alive = np.zeros(shape), np.zeros(shape, bool)
    for i in range(units):
        state = rng.choice(5, p=chain.start)
        for t in range(steps):
            action = rng.choice(3, p=problem.behaviour[state])
            states[i, t], actions[i, t], alive[i, t] = state, action, True
            rewards[i, t] = rng.random() < chain.rewards[state, action]
            if rng.random() < chain.hazard[state, action]:
                break
            state = rng.choice(5, p=chain.transitions[state, action])
    judged, logged = problem.evaluation[states, actions], problem.behaviour[states, actions]
    log = sequence_log(rewards, judged, logged, alive)
    return log, TabularLog(states, actions, rewards, alive), states


@pytest.fixture(scope="module")
def problem() -> Sessions:
    return make_sessions(0.8, 6, seed=3)


@pytest.fixture(scope="module")
def logged(problem: Sessions) -> tuple[SequenceLog, TabularLog, np.ndarray]:
    return played(problem, 1500, 11)


def test_exact_values_by_enumerating_every_session() -> None:
    problem = make_sessions(1.0, 3, seed=1)
    chain, policy = problem.chain, problem.evaluation

    def onwards(state: int, left: int) -> float:
        if left == 0:
            return 0.0
        total = 0.0
        for action in range(3):
            later = sum(
                chain.transitions[state, action, after] * onwards(after, left - 1)
                for after in range(5)
            )
            kept = (1 - chain.hazard[state, action]) * 0.9 * later
            total += policy[state, action] * (chain.rewards[state, action] + kept)
        return total

    value = sum(chain.start[s] * onwards(s, 3) for s in range(5))
    assert exact_value(chain, policy, 0.9, 3) == pytest.approx(value)


def test_fqe_and_marginal_weights_come_near_the_truth(
    problem: Sessions, logged: tuple[SequenceLog, TabularLog, np.ndarray]
) -> None:
    log, tabular, states = logged
    truth = problem.truth
    assert fqe(tabular, problem.evaluation, 1.0).value == pytest.approx(truth, abs=0.15)
    pair = [occupancy(problem.chain, p, 6) for p in (problem.evaluation, problem.behaviour)]
    exact = state_weights(pair[0], pair[1], states, log.alive)
    assert (exact * log.ratios).mean(axis=0) == pytest.approx(np.ones(6), abs=0.15)
    assert marginal_is(log, exact).value == pytest.approx(truth, abs=0.25)
    estimated = estimated_state_weights(tabular, log.ratios, 5)
    assert marginal_is(log, estimated).value == pytest.approx(truth, abs=0.25)
    assert estimated[:, 0].tolist() == [1.0] * 1500


def test_fqe_on_resamples_is_fqe_on_the_rows_drawn(
    problem: Sessions, logged: tuple[SequenceLog, TabularLog, np.ndarray]
) -> None:
    _, log, _ = logged
    counts = np.random.default_rng(0).multinomial(1500, np.full(1500, 1 / 1500), 2)
    rows = np.repeat(np.arange(1500), counts[1])
    drawn = TabularLog(log.states[rows], log.actions[rows], log.rewards[rows], log.alive[rows])
    again = fqe_replicates(log, problem.evaluation, 0.9, np.stack([np.ones(1500), counts[1]]))
    assert again[0] == pytest.approx(fqe(log, problem.evaluation, 0.9).value)
    assert again[1] == pytest.approx(fqe(drawn, problem.evaluation, 0.9).value)


def test_neural_fqe_agrees_with_the_tabular_one(
    problem: Sessions, logged: tuple[SequenceLog, TabularLog, np.ndarray]
) -> None:
    _, tabular, states = logged
    log = StateLog(
        states=np.eye(5)[states[:500]],
        actions=tabular.actions[:500],
        rewards=tabular.rewards[:500],
        alive=tabular.alive[:500],
        evaluation=problem.evaluation[states[:500]],
    )
    config = FQEConfig(hidden=16, rounds=8, steps=40, batch=128, rate=0.01, seed=1)
    found = neural_fqe(log, 1.0, config)
    assert found.value == pytest.approx(problem.truth, abs=0.35)
    assert found.value == neural_fqe(log, 1.0, config).value, "same seed, same number"
    with pytest.raises(DataError, match="rewards has shape"):
        StateLog(log.states, log.actions, log.rewards[:3], log.alive, log.evaluation)


@few
@given(seeds)
def test_the_distribution_of_returns_has_the_mean_of_self_normalised_tis(seed: int) -> None:
    log, _ = make_sessions(0.9, 4, seed=seed % 5).draw(50, np.random.default_rng(seed))
    returns, shares = cdf(log)
    assert (np.diff(returns) >= 0).all()
    assert (np.diff(shares) >= -1e-12).all()
    assert shares[-1] == pytest.approx(1.0)
    assert cdf_mean(log) == pytest.approx(sntis(log).value)
    assert cvar(log, 1.0).value == pytest.approx(sntis(log).value)
    worst = [cvar(log, share).value for share in (0.1, 0.4, 0.8, 1.0)]
    assert (np.diff(worst) >= -1e-9).all(), "the fewer of the worst, the worse"
    assert worst[0] <= quantile(log, 0.1) + 1e-12
    again = quantile_replicates(log, 0.3, np.ones((1, 50)))
    assert again[0] == quantile(log, 0.3)


def test_quantiles_and_cvar_of_a_known_distribution() -> None:
    rewards = np.array([[1.0], [2.0], [3.0], [4.0]])
    ones = np.ones((4, 1))
    log = sequence_log(rewards, [[0.1], [0.2], [0.3], [0.4]], 0.5 * ones, ones)
    assert [quantile(log, share) for share in (0.1, 0.11, 0.3, 0.6, 0.61, 1.0)] == [
        1.0, 2.0, 2.0, 3.0, 4.0, 4.0,
    ]  # fmt: skip
    assert cvar(log, 0.2).value == pytest.approx((0.1 * 1 + 0.1 * 2) / 0.2)
    with pytest.raises(UsageError, match="share is 0"):
        quantile(log, 0.0)


@few
@given(seeds)
def test_mips_with_an_embedding_for_each_action_is_ipw(seed: int) -> None:
    rng = np.random.default_rng(seed)
    judged, logged = rng.dirichlet(np.ones(5), 30), rng.dirichlet(np.ones(5), 30)
    actions, rewards = rng.integers(0, 5, 30), rng.normal(size=30)
    rows = np.arange(30)
    plain = judged[rows, actions] / logged[rows, actions]
    like = embedding_likelihood(actions[:, None], np.eye(5)[:, :, None])
    weights = embedding_weights(judged, logged, like)
    assert weights == pytest.approx(plain)
    assert cluster_weights(judged, logged, np.arange(5), actions) == pytest.approx(plain)
    everything = cluster_weights(judged, logged, np.zeros(5, int), actions)
    assert everything == pytest.approx(np.ones(30)), "one cluster corrects nothing"
    assert mips(rewards, weights).value == pytest.approx((plain * rewards).mean())
    assert snmips(np.full(30, 2.5), weights).value == pytest.approx(2.5)


def test_an_embedding_the_logging_policy_could_not_show_is_refused() -> None:
    with pytest.raises(DataError, match="1 logged embeddings probability 0"):
        embedding_weights([[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 0.0]])


def embedded(seed: int, rounds: int) -> tuple[EmbeddedLog, np.ndarray]:
    """Return rounds whose rewards are a cluster's level plus a linear effect inside it."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(6), 15)
    centres = 3.0 * rng.normal(size=(6, 4))
    vectors = centres[clusters] + rng.normal(size=(90, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    contexts = rng.normal(size=(rounds, 3))
    effect = (0.5 + contexts @ rng.normal(size=(3, 4))) @ vectors.T
    level = rng.normal(size=6)[clusters] * (1.0 + np.sin(3.0 * contexts[:, :1]))
    expected = effect + level
    logged = np.exp(1.5 * rng.normal(size=(rounds, 90)) - 0.1 * expected)
    logged /= logged.sum(axis=1, keepdims=True)
    judged = np.exp(0.6 * expected)
    judged /= judged.sum(axis=1, keepdims=True)
    edges = np.cumsum(logged, axis=1)
    actions = (rng.random((rounds, 1)) * edges[:, -1:] < edges).argmax(axis=1)
    rewards = expected[np.arange(rounds), actions] + rng.normal(size=rounds)
    log = EmbeddedLog(contexts, actions, rewards, judged, logged, vectors, clusters)
    return log, expected


def test_the_pairwise_stage_finds_the_differences_inside_clusters() -> None:
    log, expected = embedded(0, 3000)
    half = np.arange(3000) < 2000
    inside = []
    for values in (conjunct_model(log, half, ~half), expected[~half]):
        for cluster in range(6):
            members = log.clusters == cluster
            values[:, members] -= values[:, members].mean(axis=1, keepdims=True)
        inside.append(values)
    error = np.sqrt(np.mean((inside[0] - inside[1]) ** 2))
    assert error < 0.15 * inside[1].std()


def test_offcem_beats_ipw_and_mips_where_effects_are_local() -> None:
    errors: dict[str, list[float]] = {"ipw": [], "mips": [], "offcem": []}
    for seed in range(12):
        log, expected = embedded(seed, 500)
        truth = (log.evaluation * expected).sum(axis=1).mean()
        rows = np.arange(500)
        plain = log.evaluation[rows, log.actions] / log.behaviour[rows, log.actions]
        weights = cluster_weights(log.evaluation, log.behaviour, log.clusters, log.actions)
        errors["ipw"].append(float((plain * log.rewards).mean() - truth))
        errors["mips"].append(mips(log.rewards, weights).value - truth)
        errors["offcem"].append(offcem(log, seed=seed).value - truth)
    rmse = {name: float(np.sqrt(np.mean(np.square(e)))) for name, e in errors.items()}
    assert rmse["offcem"] < 0.5 * min(rmse["ipw"], rmse["mips"])
    assert abs(np.mean(errors["offcem"])) < 3 * np.std(errors["offcem"]) / np.sqrt(12) + 0.02


def test_clusters_are_those_of_directions() -> None:
    vectors = np.array([[1.0, 0.0], [5.0, 0.1], [0.0, 2.0], [0.1, 9.0]])
    found = action_clusters(vectors, 2)
    assert found[0] == found[1] != found[2] == found[3]


def test_a_chain_never_returns_from_its_end() -> None:
    chain = Chain(np.ones((1, 1, 1)), np.ones((1, 1)), np.full((1, 1), 0.5), np.ones(1))
    assert occupancy(chain, np.ones((1, 1)), 4)[:, 0].tolist() == [1.0, 0.5, 0.25, 0.125]
    assert exact_value(chain, np.ones((1, 1)), 1.0, 4) == pytest.approx(1.875)
