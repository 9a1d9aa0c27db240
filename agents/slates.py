"""The Plackett-Luce distribution over ordered slates of distinct items."""

from typing import Any, Self

import torch
from stable_baselines3.common.distributions import Distribution

from slategym.agents.compiled import worthwhile
from slategym.agents.slate_kernels import WIDEST, SlateTerms

# Stands for "no item left": finite, so that a slate of all candidates keeps finite gradients.
NOTHING = -1e9


class PlackettLuce(Distribution):
    """Ordered slates of K distinct candidates, drawn one after the other by softmax.

    ``P(a_1..a_K) = prod_k exp(s[a_k]) / sum_{i not in a_1..a_{k-1}} exp(s_i)``
    (Plackett 1975, eq. 1; Luce 1959). Sampling adds Gumbel noise to the scores and takes the K
    largest, which has exactly this law (Yellott 1977; Kool et al. 2019, section 2.3).
    ``log_prob`` costs one masked logsumexp over the candidates and K cumulative ones over the
    slate, never a ``(B, K, C)`` tensor; for batches of some size one compiled loop.

    Args:
        slate_size: K, at least 1 and at most the number of candidates.
    """

    def __init__(self, slate_size: int) -> None:
        super().__init__()
        self.slate_size = slate_size
        self.scores = torch.zeros(0, slate_size)
        self._entropy = torch.zeros(0)

    def proba_distribution_net(self, *args: Any, **kwargs: Any) -> torch.nn.Module:  # noqa: ANN401
        """Return nothing to learn: the scores come from the policy.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a Plackett-Luce slate is made from scores, not from a layer")

    def proba_distribution(self, scores: torch.Tensor) -> Self:
        """Set the scores ``(B, C)``, natural-log odds up to a constant per row."""
        self.scores = scores
        return self

    def sample(self) -> torch.Tensor:
        """Return slates ``(B, K)`` of candidate positions, drawn by Gumbel top-k."""
        uniform = torch.rand_like(self.scores).clamp_(1e-20, 1 - 1e-7)
        noisy = self.scores - torch.log(-torch.log(uniform))
        return noisy.topk(self.slate_size, dim=-1).indices

    def mode(self) -> torch.Tensor:
        """Return the slates ``(B, K)`` of the highest scores, ties by candidate position."""
        order = torch.sort(self.scores, dim=-1, descending=True, stable=True).indices
        return order[:, : self.slate_size]

    def log_prob(self, actions: torch.Tensor) -> torch.Tensor:
        """Return the exact log-probability ``(B,)`` of ordered slates ``(B, K)``.

        Also prepares `entropy` along these slates.
        """
        actions = actions.long().reshape(-1, self.slate_size)
        if worthwhile(self.scores.numel(), self.scores) and self._close():
            log_prob, self._entropy = SlateTerms.apply(self.scores, actions)
            return log_prob
        scores = self.scores - self.scores.amax(-1, keepdim=True).detach()  # (B, C)
        chosen = scores.gather(1, actions)  # (B, K)
        rest = scores.scatter(1, actions, NOTHING)  # (B, C): what no slot took
        log_rest = torch.logsumexp(rest, -1, keepdim=True)  # (B, 1)
        tail = torch.logcumsumexp(chosen.flip(-1), -1).flip(-1)  # (B, K): picks k..K
        log_norm = torch.logaddexp(tail, log_rest)  # (B, K): mass still on the table at pick k
        self._entropy = self._path_entropy(chosen, rest, log_rest, log_norm)
        return (chosen - log_norm).sum(-1)

    def _close(self) -> bool:
        """Return whether all odds of a row are numbers beside each other."""
        low, high = self.scores.detach().aminmax(dim=-1)
        return bool(((high - low) < WIDEST).all())

    @staticmethod
    def _path_entropy(
        chosen: torch.Tensor, rest: torch.Tensor, log_rest: torch.Tensor, log_norm: torch.Tensor
    ) -> torch.Tensor:
        """Return sum over k of the entropy ``(B,)`` of pick k given the picks before it.

        Its expectation over slates is the exact entropy (chain rule); its gradient leaves out
        how scores change which slates are drawn. Per pick
        ``H_k = log Z_k - E_k[s]``, with the mean score split into the untouched candidates and
        the picks still to come.
        """
        mean_rest = (torch.exp(rest - log_rest) * rest).sum(-1, keepdim=True)  # (B, 1)
        log_share = chosen[:, None, :] - log_norm[:, :, None]  # (B, K, K): pick l at time k
        gone = torch.ones_like(log_share[0], dtype=torch.bool).tril(-1)
        # A pick that is gone may exceed the mass left by any factor: mask before exp, or its
        # gradient is 0 * inf.
        share = torch.exp(log_share.masked_fill(gone, NOTHING))
        mean = torch.exp(log_rest - log_norm) * mean_rest + (share * chosen[:, None, :]).sum(-1)
        return (log_norm - mean).sum(-1)

    def entropy(self) -> torch.Tensor:
        """Return the entropy ``(B,)`` along the slates last given to `log_prob`, in nats."""
        return self._entropy

    def actions_from_params(
        self, scores: torch.Tensor, deterministic: bool = False
    ) -> torch.Tensor:
        """Return slates ``(B, K)`` from scores ``(B, C)``."""
        return self.proba_distribution(scores).get_actions(deterministic)

    def log_prob_from_params(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sampled slates ``(B, K)`` and their log-probabilities ``(B,)``."""
        actions = self.actions_from_params(scores)
        return actions, self.log_prob(actions)
