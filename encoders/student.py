"""A smaller student of a text transformer: layers dropped, then trained on the texts at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slategym.encoders.base import FloatArray, encode_present, fingerprint_of
from slategym.encoders.catalog import Catalog, Modality
from slategym.encoders.text import TransformerText, pad_tokens
from slategym.errors import UsageError

_BATCH = 32


@dataclass(frozen=True)
class Student:
    """Some layers of a BERT-like teacher, trained so that its vectors point where the teacher's do.

    The loss is one minus the cosine with the teacher's vector (Reimers and Gurevych 2020,
    section 3, with cosine for squared error), by Adam over the given texts, seen ``passes``
    times. It is made for one catalogue and not kept on disk.

    Attributes:
        teacher: What is imitated.
        layers: How many layers are kept, evenly spread, the last among them.
        texts: What it learns from.
        seed: Order of the texts.
        passes: Times each text is seen.
        step: Step length of Adam.
    """

    teacher: TransformerText
    layers: int
    texts: tuple[str, ...]
    seed: int = 0
    passes: int = 2
    step: float = 2e-4

    @property
    def modality(self) -> Modality:
        """Text."""
        return "text"

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.teacher.dim

    @cached_property
    def fingerprint(self) -> str:
        """The teacher, the texts and how it was trained."""
        return fingerprint_of(
            f"student-{self.teacher.name}",
            teacher=self.teacher.fingerprint,
            layers=self.layers,
            texts=self.texts,
            training=(self.seed, self.passes, self.step),
            version=1,
        )

    @property
    def model_bytes(self) -> int:
        """Size of its weights in float32."""
        return sum(4 * weights.numel() for weights in self._model.parameters())

    def encode(self, catalog: Catalog) -> FloatArray:
        """Return the vectors of the texts, (I, D)."""
        return encode_present(catalog, self, self.encode_texts)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of B texts, (B, D)."""
        import torch

        tokens = self.teacher.tokens(texts)
        order = np.argsort([len(ids) for ids in tokens], kind="stable")
        model = self._model  # made, at first, outside of inference mode: it is trained
        with torch.inference_mode():
            parts = [
                _vectors(model, self.teacher, [tokens[row] for row in rows]).numpy()
                for rows in np.split(order, range(_BATCH, len(order), _BATCH))
            ]
        found = np.empty((len(texts), parts[0].shape[1]), np.float32)
        found[order] = np.concatenate(parts)
        return found

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401
        import torch

        model = self.teacher.source.load_model()
        stack = getattr(getattr(model, "encoder", None), "layer", None)
        if stack is None:
            raise UsageError(
                f"a student cannot be made of {self.teacher.name!r}, which is not built like "
                "BERT: choose static or pca."
            )
        if not 1 <= self.layers <= len(stack):
            raise UsageError(
                f"student:{self.layers} cannot be made: give a number from 1 to {len(stack)}."
            )
        kept = np.linspace(len(stack) - 1, 0, self.layers, endpoint=False).round().astype(int)
        model.encoder.layer = torch.nn.ModuleList(stack[at] for at in sorted(kept.tolist()))
        self._train(model)
        return model.eval().requires_grad_(False)

    def _train(self, model: Any) -> None:  # noqa: ANN401
        import torch

        texts = list(dict.fromkeys(self.texts))
        wanted = torch.from_numpy(self.teacher.encode_texts(texts))
        tokens = self.teacher.tokens(texts)
        trained = list(model.encoder.parameters())  # embeddings are most of it, and stay
        for weights in trained:
            weights.requires_grad_(True)
        total = self.passes * -(-len(texts) // _BATCH)
        optimiser = torch.optim.Adam(trained, lr=self.step)
        falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, total_iters=total)
        rng = np.random.default_rng(self.seed)
        for _ in range(self.passes):
            order = rng.permutation(len(texts))
            for rows in np.split(order, range(_BATCH, len(order), _BATCH)):
                made = _vectors(model, self.teacher, [tokens[row] for row in rows])
                loss = (1 - torch.nn.functional.cosine_similarity(made, wanted[rows])).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                falling.step()


def _vectors(model: Any, teacher: TransformerText, tokens: list[list[int]]) -> Any:  # noqa: ANN401
    """Return the pooled vectors of a batch of texts as a tensor, (B, D)."""
    import torch

    ids, mask = (torch.from_numpy(part) for part in pad_tokens(tokens, 0))
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return teacher.pool_tensor(hidden, mask)
