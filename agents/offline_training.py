"""Agents trained from a log alone: behaviour cloning, and REINFORCE with top-K correction.

Letters: N impressions, B minibatch, K slots, C candidates.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slategym.agents.checkpoint import module_arrays, save_arrays
from slategym.agents.features import Inputs
from slategym.agents.offline_data import OfflineConfig, OfflineData, credits_of, held_out_users
from slategym.agents.run_folder import RunFolder
from slategym.agents.slate_policy import SlatePolicy
from slategym.agents.slates import NOTHING
from slategym.agents.train_config import TrainConfig
from slategym.agents.trained import make_network
from slategym.agents.training import private_torch
from slategym.envs.world import World
from slategym.errors import DataError, UsageError
from slategym.files import atomic_folder, write_json, write_text
from slategym.progress import Progress, Silent, stage

OFFLINE = "offline.json"
STAGE = "train offline"
_READ = 4096  # impressions read at once
_CLIP = 0.5  # of the gradient's norm


@dataclass(frozen=True)
class OfflineResult:
    """What a run of offline training came to."""

    run: Path
    """The RUN folder; `load_agent` and `slategym bench --run` take it."""
    best_epoch: int
    """The epoch whose weights were kept, from 1."""
    curve: tuple[dict[str, float], ...]
    """Per epoch: ``loss`` in training, ``held_out`` objective on held-out users of the log."""


def train_offline(
    data: OfflineData,
    world: World,
    task: TrainConfig,
    config: OfflineConfig,
    out: str | Path,
    *,
    log: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> OfflineResult:
    """Train the slate network on a log and write a RUN folder, whole or not at all.

    No simulator is touched: the epoch is chosen on held-out users of the log.

    Args:
        data: the log.
        world: gives item tables.
        task: variant and sizes that the agent will serve; see `task_of`.
        config: how.
        out: a new or empty folder.
        log: what is known of the log; kept in ``offline.json``.
        progress: hears of epochs.

    Raises:
        UsageError: the folder is not empty, or the log has one user.
        DataError: training diverged: the message gives the epoch.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; name a new or empty folder.")
    heard = progress or Silent()
    with private_torch(1), stage(heard, STAGE, config.epochs):
        torch.manual_seed(config.seed)
        trainer = _Trainer(data, make_network(world, task, data.positions.shape[1]), config)
        curve, best, weights = trainer.run(heard)
    with atomic_folder(folder) as temporary:
        run = RunFolder(temporary)
        run.begin(world, task, None)
        told = {"config": config.to_json(), "best_epoch": best, "log": log or {}}
        write_json(temporary / OFFLINE, told)
        lines = [json.dumps({"kind": "epoch", **point}, sort_keys=True) for point in curve]
        write_text(run.curve, "\n".join(lines) + "\n")
        save_arrays(run.weights, weights)
    return OfflineResult(folder, best, tuple(curve))


def task_of(
    variant: str,
    config: OfflineConfig,
    *,
    slate_size: int | None = None,
    num_candidates: int | None = None,
    horizon: int | None = None,
) -> TrainConfig:
    """Return the options by which a RUN folder says what its agent serves.

    Args:
        variant: a registered id.
        config: gives the sizes of the network.
        slate_size: K of the log; None, here and below: the variant's own.
        num_candidates: C of the log.
        horizon: most steps of an episode.
    """
    return TrainConfig(
        variant=variant,
        seed=config.seed,
        rating=config.rating,
        item_features=0.0,
        recommendation_features=0.0,
        gamma=config.gamma,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        width=config.width,
        embedding=config.embedding,
        slate_size=slate_size,
        num_candidates=num_candidates,
        horizon=horizon,
    )


def slot_log_probs(scores: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Return ``ln P(a_k | a_1..a_{k-1})`` ``(B, K)`` of Plackett-Luce slates.

    Args:
        scores: natural-log odds ``(B, C)``.
        actions: distinct positions ``(B, K)``.
    """
    scores = scores - scores.amax(-1, keepdim=True).detach()
    chosen = scores.gather(1, actions)
    left = torch.logsumexp(scores.scatter(1, actions, NOTHING), -1, keepdim=True)  # (B, 1)
    tail = torch.logcumsumexp(chosen.flip(-1), -1).flip(-1)  # picks k..K
    return chosen - torch.logaddexp(tail, left)


def top_k_factor(share: torch.Tensor, slate_size: int) -> torch.Tensor:
    """Return ``lambda_K = K (1 - pi)^(K - 1)``, by which top-K recommendation scales a gradient.

    Chen et al. 2019, "Top-K off-policy correction for a REINFORCE recommender system", eq. 8: the
    derivative of ``1 - (1 - pi)^K``, the probability that an item of share pi is among K draws.

    Args:
        share: pi in [0, 1].
        slate_size: K.
    """
    return slate_size * (1.0 - share) ** (slate_size - 1)


class _Trainer:
    """One run of offline training."""

    def __init__(self, data: OfflineData, network: SlatePolicy, config: OfflineConfig) -> None:
        self.network, self.config = network, config
        held = held_out_users(data, config.validation, config.seed)
        self.kept, self.held = np.flatnonzero(~held), np.flatnonzero(held)
        # Copies: torch refuses to promise not to write into read-only arrays.
        self.obs = {k: torch.from_numpy(np.array(v)) for k, v in data.observation.items()}
        self.actions = torch.from_numpy(np.array(data.positions))
        self.logp = torch.from_numpy(np.array(data.logp_slot)).float()
        credit = credits_of(data, config.gamma)
        spread = float(credit[self.kept].std())
        self.credit = torch.from_numpy(credit / (spread if spread > 0 else 1.0)).float()
        self.targets = _targets(data)
        with torch.no_grad():
            read = [network.features(self._obs(rows)) for rows in self._chunks(len(data))]
        self.state = torch.cat([one.state for one in read])
        self.match = torch.cat([one.match for one in read])
        self.optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)

    def run(
        self, progress: Progress
    ) -> tuple[list[dict[str, float]], int, dict[str, NDArray[Any]]]:
        """Return the curve, the best epoch, and its weights."""
        generator = np.random.default_rng(self.config.seed)
        curve: list[dict[str, float]] = []
        best, weights = 0, module_arrays(self.network)
        for epoch in range(1, self.config.epochs + 1):
            cloning = self.config.method == "cloning" or epoch <= self.config.warm
            loss = self._epoch(generator.permutation(self.kept), cloning)
            held = self._held_out(cloning=self.config.method == "cloning")
            if not (np.isfinite(loss) and np.isfinite(held)):
                raise DataError(
                    f"training diverged in epoch {epoch} (loss {loss}, held out {held}); lower "
                    "learning_rate or cap."
                )
            if best == 0 or held > max(point["held_out"] for point in curve):
                best, weights = epoch, module_arrays(self.network)
            curve.append({"epoch": epoch, "loss": loss, "held_out": held})
            progress.advance(STAGE)
        return curve, best, weights

    def _epoch(self, order: NDArray[np.int64], cloning: bool) -> float:
        """Do one pass over the training users and return the mean loss."""
        size, total, steps = self.config.batch_size, 0.0, 0
        self.network.set_training_mode(True)
        for start in range(0, len(order), size):
            rows = torch.from_numpy(np.sort(order[start : start + size]))
            loss = self._loss(rows, cloning)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
            self.optimizer.step()
            total, steps = total + float(loss.detach()), steps + 1
        self.network.set_training_mode(False)
        return total / steps

    def _loss(self, rows: torch.Tensor, cloning: bool) -> torch.Tensor:
        """Return the loss of a minibatch, auxiliary losses included."""
        core = self.network.core(self._obs(rows), Inputs(self.state[rows], self.match[rows]))
        actions = self.actions[rows]
        logp = slot_log_probs(core.scores, actions)
        loss = -logp.sum(1).mean() if cloning else self._reinforce(rows, core.scores, logp)
        if len(self.network.aux_losses):
            targets = {name: array[rows] for name, array in self.targets.items()}
            terms = self.network.aux_terms(core.shown(actions), targets)
            loss = loss + self.network.weighted(terms)
        return loss

    def _reinforce(
        self, rows: torch.Tensor, scores: torch.Tensor, logp: torch.Tensor
    ) -> torch.Tensor:
        """Return the surrogate whose gradient is that of Chen et al. 2019, eq. 6 with capping.

        ``sum_k min(pi/beta, c) lambda_K R_k grad ln pi``, pi and beta given the slots before.
        """
        config, actions = self.config, self.actions[rows]
        log_share = torch.log_softmax(scores, -1)
        with torch.no_grad():
            weight = torch.exp((logp - self.logp[rows]).clamp(max=20.0)).clamp(max=config.cap)
            share = torch.exp(log_share.gather(1, actions))
            weight = weight * top_k_factor(share, actions.shape[1])
        entropy = -(torch.exp(log_share) * log_share).sum(-1).mean()
        gain = (weight * self.credit[rows] * logp).sum(1).mean()
        return -gain - config.entropy * entropy

    @torch.no_grad()
    def _held_out(self, *, cloning: bool) -> float:
        """Return the objective on held-out users, higher is better.

        Cloning: mean log-likelihood of their slates. REINFORCE: their credit, weighted by how
        much likelier the agent is to show each item, self-normalised with capped weights.
        """
        likely, weights, gains = 0.0, 0.0, 0.0
        for part in self._chunks(len(self.held)):
            rows = torch.from_numpy(self.held[part.numpy()])
            core = self.network.core(self._obs(rows), Inputs(self.state[rows], self.match[rows]))
            logp = slot_log_probs(core.scores, self.actions[rows]).double()
            weight = torch.exp(logp - self.logp[rows]).clamp(max=self.config.cap)
            likely += float(logp.sum())
            weights += float(weight.sum())
            gains += float((weight * self.credit[rows]).sum())
        return likely / len(self.held) if cloning else gains / max(weights, 1e-12)

    def _obs(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the observations of some impressions."""
        return {name: array[rows] for name, array in self.obs.items()}

    @staticmethod
    def _chunks(count: int) -> list[torch.Tensor]:
        """Return the indices 0 .. count - 1 in pieces."""
        return list(torch.arange(count).split(_READ))


def _targets(data: OfflineData) -> dict[str, torch.Tensor]:
    """Return the targets of the auxiliary losses (N, ...)."""
    found = {name: np.asarray(data.responses[name], np.float32) for name in ("click", "rating")}
    found["watch"] = np.asarray(data.responses.get("watch", found["click"]), np.float32)
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in found.items()}
    return tensors | {
        "slate": torch.from_numpy(np.array(data.items)),
        "user": torch.from_numpy(np.array(data.user)),
    }
