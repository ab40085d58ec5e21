"""`train.precision`: the numbers that a network's convolutions and matrix products compute in.

Promises: weights, gradients, statistics of batch norm, logits and losses stay float32 (so checkpoints are those of any run); PyTorch's autocast
chooses what is computed in the lower precision and what is not; a copy of the network computes as the network does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# What a processor says of itself (torch.cpu.get_capabilities) when it multiplies bfloat16 by instructions of its own; any other imitates them.
_NATIVE = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16", "sve_bf16")


def compute_in(model: nn.Module, name: str) -> list[RemovableHandle]:
    """Let a network compute in `float32` or `bfloat16` whenever it is called, and return float32 logits; return what takes that back."""
    if name == "float32":
        return []
    autocast = _Autocast(DTYPES[name])
    return [model.register_forward_pre_hook(autocast.enter), model.register_forward_hook(autocast.leave, always_call=True)]


@contextmanager
def computing_in(model: nn.Module, name: str) -> Iterator[None]:
    """Let a network that computes in float32 do so in another precision meanwhile."""
    handles = compute_in(model, name)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Autocast:
    """Puts PyTorch's autocast around the forward pass of a whole network."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.entered: list[torch.autocast] = []

    def enter(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.entered.append(torch.autocast(inputs[0].device.type, self.dtype))
        self.entered[-1].__enter__()

    def leave(self, network: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        """Also called where the network raised an error, without output, and where a hook before `enter` did."""
        if self.entered:
            self.entered.pop().__exit__(None, None, None)
        return output.float() if isinstance(output, Tensor) else output


def is_native(name: str, device: torch.device) -> bool:
    """Return whether a device computes in this precision by instructions of its own."""
    if name == "float32":
        return True
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return any(torch.cpu.get_capabilities().get(key) for key in _NATIVE)
