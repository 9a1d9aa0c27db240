"""Slates are drawn from an exact Plackett-Luce distribution."""

import itertools
import math

import pytest
import torch

from slategym.agents.compiled import COMPILED_FROM
from slategym.agents.slates import PlackettLuce

SCORES = torch.tensor([[0.3, -1.2, 2.0, 0.0, 0.7], [4.0, -3.0, 0.1, 0.2, -0.5]])


def all_slates(candidates: int, size: int) -> torch.Tensor:
    """Every ordered slate ``(N, K)``."""
    return torch.tensor(list(itertools.permutations(range(candidates), size)))


def by_softmax(scores: torch.Tensor, slate: list[int]) -> float:
    """The log-probability as it is defined: a softmax over what is left, pick after pick."""
    left, total = dict(enumerate(scores.tolist())), 0.0
    for item in slate:
        total += left[item] - math.log(sum(math.exp(score) for score in left.values()))
        del left[item]
    return total


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_probabilities_of_all_ordered_slates_sum_to_one(size: int) -> None:
    slates = all_slates(5, size)
    for row in SCORES.double():
        slate = PlackettLuce(size).proba_distribution(row.expand(len(slates), -1))
        assert slate.log_prob(slates).exp().sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_log_probability_is_the_product_of_softmaxes(size: int) -> None:
    slates = all_slates(5, size)
    row = SCORES[0].double()
    found = PlackettLuce(size).proba_distribution(row.expand(len(slates), -1)).log_prob(slates)
    expected = [by_softmax(row, slate) for slate in slates.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_gradient_of_the_log_probability_is_that_of_the_definition() -> None:
    slates = all_slates(5, 3)
    scores = SCORES[0].double().expand(len(slates), -1).clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: PlackettLuce(3).proba_distribution(s).log_prob(slates), scores
    )


def test_expected_path_entropy_is_the_exact_entropy() -> None:
    slates = all_slates(5, 3)
    slate = PlackettLuce(3).proba_distribution(SCORES[1].double().expand(len(slates), -1))
    log_prob = slate.log_prob(slates)
    exact = -(log_prob.exp() * log_prob).sum()
    assert (log_prob.exp() * slate.entropy()).sum() == pytest.approx(float(exact), abs=1e-10)


def test_gradients_stay_finite_for_extreme_scores_and_full_slates() -> None:
    scores = torch.tensor([[300.0, -300.0, 0.0], [-300.0, 300.0, 299.0]], requires_grad=True)
    slate = PlackettLuce(3).proba_distribution(scores)
    (slate.log_prob(torch.tensor([[1, 2, 0], [2, 0, 1]])) + slate.entropy()).sum().backward()
    assert torch.isfinite(scores.grad).all()


def test_samples_hold_distinct_candidates_with_the_right_frequencies() -> None:
    torch.manual_seed(0)
    draws = PlackettLuce(2).proba_distribution(SCORES[0].expand(40_000, -1)).sample()
    assert (draws[:, 0] != draws[:, 1]).all()
    slates = all_slates(5, 2)
    expected = torch.tensor([math.exp(by_softmax(SCORES[0], s)) for s in slates.tolist()])
    seen = torch.stack([(draws == slate).all(1).float().mean() for slate in slates])
    # Four standard errors of a frequency from 40,000 draws.
    assert ((seen - expected).abs() < 4 * (expected / 40_000).sqrt() + 1e-4).all()


def test_the_mode_takes_the_highest_scores_and_breaks_ties_by_position() -> None:
    scores = torch.tensor([[1.0, 2.0, 1.0, 2.0]])
    mode = PlackettLuce(3).proba_distribution(scores).mode()
    assert mode.tolist() == [[1, 3, 0]]


def spelled_out(scores: torch.Tensor, slates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability and path entropy, pick by pick."""
    left, log_prob, entropy = scores.clone(), torch.zeros(()), torch.zeros(())
    for k in range(slates.shape[1]):
        logs = torch.log_softmax(left, -1)
        log_prob = log_prob + logs.gather(1, slates[:, k : k + 1])[:, 0]
        entropy = entropy - (logs.exp() * logs.clamp_min(-1e6)).sum(-1)
        left = left.scatter(1, slates[:, k : k + 1], -1e9)
    return log_prob, entropy


@pytest.mark.parametrize(("size", "count"), [(1, 10), (3, 10), (5, 20), (10, 10)])
def test_the_compiled_loop_gives_what_picks_one_by_one_give(size: int, count: int) -> None:
    generator = torch.Generator().manual_seed(size)
    rows = COMPILED_FROM // count + 1
    scores = 4 * torch.randn(rows, count, generator=generator, dtype=torch.float64)
    scores.requires_grad_()
    slates = torch.rand(rows, count, generator=generator).argsort(1)[:, :size]
    law = PlackettLuce(size).proba_distribution(scores)
    log_prob = law.log_prob(slates)
    assert type(log_prob.grad_fn).__name__ == "SlateTermsBackward"
    weights = torch.randn(2, rows, generator=generator, dtype=torch.float64)
    for found, expected, weight in zip(
        (log_prob, law.entropy()), spelled_out(scores, slates), weights, strict=True
    ):
        torch.testing.assert_close(found, expected)
        (ours,) = torch.autograd.grad(found, scores, weight, retain_graph=True)
        (theirs,) = torch.autograd.grad(expected, scores, weight, retain_graph=True)
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


def test_odds_too_far_apart_for_the_compiled_loop_keep_finite_gradients() -> None:
    scores = torch.zeros(COMPILED_FROM, 3)
    scores[0] = torch.tensor([0.0, -1000.0, -3000.0])
    scores.requires_grad_()
    slates = torch.tensor([[0, 1, 2]]).expand(COMPILED_FROM, -1)
    law = PlackettLuce(3).proba_distribution(scores)
    log_prob = law.log_prob(slates)
    assert float(log_prob[0].detach()) == 0.0
    (log_prob.sum() + law.entropy().sum()).backward()
    assert torch.isfinite(scores.grad).all()


def test_a_score_that_is_not_a_number_is_not_hidden() -> None:
    scores = torch.zeros(COMPILED_FROM, 3)
    scores[5, 1] = torch.nan
    slates = torch.tensor([[0, 1]]).expand(COMPILED_FROM, -1)
    log_prob = PlackettLuce(2).proba_distribution(scores).log_prob(slates)
    assert torch.isnan(log_prob[5])
