"""EfficientNet-Lite0 as it runs fastest on a processor: the same numbers, fewer passes."""

from collections.abc import Callable
from typing import Any

from slategym.encoders.efficientnet import same_padding


def fast_forward(network: Any) -> Callable[[Any], Any]:  # noqa: ANN401
    """Return what turns pictures (B, 3, S, S), channels last, into vectors (B, 1280).

    Normalisation is folded into the convolutions, and where torch has oneDNN the ReLU6 is done
    while a convolution's result is still in the registers. The network itself stays as it is.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    stem = fuse_conv_bn_eval(network.conv_stem, network.bn0)
    head = fuse_conv_bn_eval(network.conv_head, network.bn1)
    blocks = []
    for block in network.blocks:
        wide = fuse_conv_bn_eval(block.expand_conv, block.bn0) if block.expands else None
        deep = fuse_conv_bn_eval(block.depthwise_conv, block.bn1)
        blocks.append((wide, deep, fuse_conv_bn_eval(block.project_conv, block.bn2), block.adds))
    for conv in (stem, head, *(part for block in blocks for part in block[:3] if part)):
        conv.to(memory_format=torch.channels_last)
    apply = _with_onednn if torch.backends.mkldnn.is_available() else _plainly

    def forward(pixels: Any) -> Any:  # noqa: ANN401
        x = apply(stem, pixels, True)
        for wide, deep, project, adds in blocks:
            y = apply(wide, x, True) if wide is not None else x
            y = apply(project, apply(deep, y, True), False)
            x = y.add_(x) if adds else y
        return apply(head, x, True).mean(dim=(2, 3))

    return forward


def _with_onednn(conv: Any, x: Any, clipped: bool) -> Any:  # noqa: ANN401
    """Return a convolution, with ReLU6 if ``clipped``, in one pass of oneDNN."""
    import torch

    left, right, top, bottom = same_padding(conv, x.shape)
    if left == right and top == bottom:
        inside = [top, left]
    else:  # oneDNN pads the same on both sides
        x, inside = torch.nn.functional.pad(x, (left, right, top, bottom)), [0, 0]
    kind, limits = ("hardtanh", [0.0, 6.0]) if clipped else ("none", [])
    return torch.ops.mkldnn._convolution_pointwise(  # noqa: SLF001 - torch.compile's own
        x, conv.weight, conv.bias, inside, conv.stride, conv.dilation, conv.groups, kind, limits, ""
    )


def _plainly(conv: Any, x: Any, clipped: bool) -> Any:  # noqa: ANN401
    from torch.nn import functional

    padded = functional.pad(x, same_padding(conv, x.shape))
    y = functional.conv2d(padded, conv.weight, conv.bias, conv.stride, groups=conv.groups)
    return functional.relu6(y) if clipped else y
