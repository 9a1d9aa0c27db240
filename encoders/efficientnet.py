"""EfficientNet-Lite0 (Tan and Le 2019; the Lite variant drops squeeze-excitation, uses ReLU6)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

DIM = 1280
SIZE = 224  # pixels; the side the network was trained at

# (repeats, kernel, stride, expansion, out channels) of the seven stages, as in EfficientNet-B0.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def rename_weights(state: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Return the published state (``_blocks.0._bn1.weight``) under the names used here."""
    return {
        ".".join(part.removeprefix("_") for part in name.split(".")): tensor.contiguous()
        for name, tensor in state.items()
    }


def build() -> Any:  # noqa: ANN401
    """Return the network as a ``torch.nn.Module``: pictures (B, 3, 224, 224) to (B, 1280).

    ``logits`` gives the 1,000 ImageNet classes from its output. Its weights are random until a
    state is loaded: callers load one, strictly.
    """
    from torch import Tensor, nn
    from torch.nn import functional

    conv, block = _same_conv(), _block()

    class EfficientNetLite0(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv_stem = conv(3, 32, 3, 2, bias=False)
            self.bn0 = _norm(32)
            blocks, came = [], 32
            for repeats, kernel, stride, expansion, goes in _STAGES:
                for repeat in range(repeats):
                    blocks.append(block(kernel, 1 if repeat else stride, expansion, came, goes))
                    came = goes
            self.blocks = nn.ModuleList(blocks)
            self.conv_head = nn.Conv2d(came, DIM, 1, bias=False)
            self.bn1 = _norm(DIM)
            self.fc = nn.Linear(DIM, 1000)

        def forward(self, pixels: Tensor) -> Tensor:
            x = functional.relu6(self.bn0(self.conv_stem(pixels)))
            for layer in self.blocks:
                x = layer(x)
            return functional.relu6(self.bn1(self.conv_head(x))).mean(dim=(2, 3))  # (B, 1280)

        def logits(self, pooled: Tensor) -> Tensor:
            return self.fc(pooled)

    return EfficientNetLite0().eval()


def same_padding(conv: Any, shape: Sequence[int]) -> tuple[int, int, int, int]:  # noqa: ANN401
    """Return what TensorFlow pads an input of that shape with: left, right, top, bottom."""
    pads: list[int] = []
    sides = reversed(shape[-2:])  # torch's `pad` wants the last axis first
    for side, kernel, stride in zip(sides, conv.kernel_size, conv.stride, strict=True):
        lack = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads += [lack // 2, lack - lack // 2]  # an odd one goes to the right, and below
    left, right, top, bottom = pads
    return left, right, top, bottom


def _norm(channels: int) -> Any:  # noqa: ANN401
    from torch import nn

    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _same_conv() -> Any:  # noqa: ANN401
    """Return the class of a convolution padded as TensorFlow pads."""
    from torch import Tensor, nn
    from torch.nn import functional

    class SameConv(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002
            return super().forward(functional.pad(input, same_padding(self, input.shape)))

    return SameConv


def _block() -> Any:  # noqa: ANN401
    """Return the class of an inverted bottleneck: expand, filter each channel, project."""
    from torch import Tensor, nn
    from torch.nn import functional

    conv = _same_conv()

    class Block(nn.Module):
        def __init__(self, kernel: int, stride: int, expansion: int, came: int, goes: int) -> None:
            super().__init__()
            wide = came * expansion
            self.expands = expansion > 1
            self.adds = stride == 1 and came == goes
            if self.expands:
                self.expand_conv = nn.Conv2d(came, wide, 1, bias=False)
                self.bn0 = _norm(wide)
            self.depthwise_conv = conv(wide, wide, kernel, stride, groups=wide, bias=False)
            self.bn1 = _norm(wide)
            self.project_conv = nn.Conv2d(wide, goes, 1, bias=False)
            self.bn2 = _norm(goes)

        def forward(self, x: Tensor) -> Tensor:
            y = functional.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
            y = functional.relu6(self.bn1(self.depthwise_conv(y)))
            y = self.bn2(self.project_conv(y))
            return x + y if self.adds else y

    return Block
