"""A text encoder inside fine-tuning: low-rank updates of its attention, or all of it.

Letters: B rows of a batch, D numbers of an item's vector, T tokens.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from slategym.encoders.finetune_config import FinetuneConfig
from slategym.encoders.tasks import FinetuneData, IntArray
from slategym.errors import UsageError

if TYPE_CHECKING:
    import torch

# What transformers calls the query and value projections of BERT, GPT-NeoX-like and ViT models.
_TARGETS = ("query", "value", "q_proj", "v_proj", "q_lin", "v_lin")


class TunedEncoder:
    """Item vectors that follow the encoder as it is trained.

    Attributes:
        parameters: Name to tensor; what is trained of the encoder.
    """

    def __init__(self, data: FinetuneData, config: FinetuneConfig, encoder: Any) -> None:  # noqa: ANN401
        """Load the model and add what the mode trains."""
        import torch
        from transformers import AutoTokenizer

        self.model = encoder.source.load_model().float()
        tokenizer = encoder.source.load(AutoTokenizer)
        # Decoders often have no padding token; what is masked out may be any token.
        self.pad = int(tokenizer.pad_token_id or 0)
        read = tokenizer(list(data.texts), truncation=True, max_length=config.max_tokens)
        self.tokens = [list(ids) or [self.pad] for ids in read["input_ids"]]
        self.pooling, self.batch = encoder.pooling, config.encoder_items
        self.model.requires_grad_(config.mode == "full")
        self.parameters: dict[str, torch.Tensor] = {}
        if config.mode == "lora":
            self.parameters = add_low_rank(self.model, config.rank)
        else:
            self.parameters = dict(self.model.named_parameters())
        vectors = self._raw(np.arange(data.n_items), grad=False)
        self.mean = vectors.mean(dim=0)
        self.level = (vectors - self.mean).norm(dim=1).pow(2).mean().sqrt().clamp(min=1e-6)

    def content(self, items: IntArray) -> "torch.Tensor":
        """Return the content of B items with gradients, (B, D)."""
        return (self._raw(items, grad=True) - self.mean) / self.level

    def encode_all(self) -> "torch.Tensor":
        """Return the content of every item as the encoder is now, (I, D)."""
        every = np.arange(len(self.tokens))
        return (self._raw(every, grad=False) - self.mean) / self.level

    def _raw(self, items: IntArray, *, grad: bool) -> "torch.Tensor":
        import torch

        order = np.argsort([len(self.tokens[item]) for item in items], kind="stable")
        parts = []
        with torch.set_grad_enabled(grad):
            for start in range(0, len(order), self.batch):
                rows = [self.tokens[item] for item in items[order[start : start + self.batch]]]
                parts.append(self._forward(rows))
            back = torch.from_numpy(np.argsort(order))
            return torch.cat(parts)[back]

    def _forward(self, rows: list[list[int]]) -> "torch.Tensor":
        """Return pooled vectors of length 1, (B, D)."""
        import torch
        from torch.nn import functional

        width = max(map(len, rows))
        ids = torch.tensor([row + [self.pad] * (width - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(width) < lengths[:, None]).long()  # (B, T)
        hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, T, D)
        if self.pooling == "cls":
            vectors = hidden[:, 0]
        elif self.pooling == "last":
            vectors = hidden[torch.arange(len(rows)), lengths - 1]
        else:
            vectors = (hidden * mask[..., None]).sum(dim=1) / lengths[:, None]
        return functional.normalize(vectors, dim=1)


def make_encoder_tuner(
    data: FinetuneData,
    config: FinetuneConfig,
    encoder: Any,  # noqa: ANN401
) -> TunedEncoder | None:
    """Return the encoder to train, or None for an adapter on frozen vectors.

    Raises:
        UsageError: the mode trains an encoder, and there are no texts, or vectors of another
            length.
    """
    if config.mode == "adapter":
        return None
    if not data.texts:
        raise UsageError(f"mode {config.mode!r} trains the text encoder, but no texts were given.")
    if encoder is None:
        from slategym.encoders.text import minilm

        encoder = minilm(precision="float32")
    tuner = TunedEncoder(data, config, encoder)
    made, wanted = len(tuner.mean), data.item_vectors.shape[1]
    if made != wanted:
        raise UsageError(
            f"the encoder makes vectors of {made} numbers, the item vectors given have {wanted}: "
            "give those that this encoder made of the texts."
        )
    return tuner


def add_low_rank(model: Any, rank: int) -> "dict[str, torch.Tensor]":  # noqa: ANN401
    """Add ``x A B / rank`` to each query and value projection; return all A and B by name.

    Hu et al. (2022), eq. 3 with alpha = 1 per rank; B starts at 0, so that the model starts as
    it was.

    Raises:
        UsageError: the model has no projection of a known name.
    """
    import torch

    found: dict[str, torch.Tensor] = {}
    for name, module in list(model.named_modules()):
        if name.split(".")[-1] in _TARGETS and isinstance(module, torch.nn.Linear):
            down = torch.randn(module.in_features, rank) / module.in_features**0.5
            up = torch.zeros(rank, module.out_features)
            found[f"{name}.down"], found[f"{name}.up"] = down, up
            module.register_forward_hook(_low_rank_hook(down, up))
    if not found:
        raise UsageError(
            "this encoder has no query and value projections of a known name "
            f"({', '.join(_TARGETS)}): use mode 'full' or 'adapter'."
        )
    return found


def _low_rank_hook(down: "torch.Tensor", up: "torch.Tensor") -> Any:  # noqa: ANN401
    def hook(_module: Any, inputs: tuple[Any, ...], output: Any) -> Any:  # noqa: ANN401
        return output + (inputs[0] @ down) @ up

    return hook
