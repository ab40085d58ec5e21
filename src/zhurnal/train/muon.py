"""Muon: momentum whose update is made orthogonal before it is applied, for the weights of convolutions and linear layers.

Source: Keller Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/ and github.com/KellerJordan/Muon; with `renormalize`, the form of
airbench94_muon.py in github.com/KellerJordan/cifar10-airbench. Differences: matrices are those of (outputs, everything else) for convolutions in
the factor max(1, rows / columns)^0.5 too, and the iteration runs in the weights' own precision, float32, for processors have no fast bfloat16.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, chosen by its authors for the steepest slope at 0


def orthogonalize(matrix_RC: Tensor, steps: int = 5) -> Tensor:
    """Return about U V^T for a matrix U S V^T: a quintic Newton-Schulz iteration brings its singular values to between 0.7 and 1.2 (in 5 steps).

    Only singular values that are not far smaller than the matrix's norm get there: a step multiplies a small one by 3.44. A matrix of zeros stays so.
    """
    a, b, c = COEFFICIENTS
    tall = matrix_RC.shape[0] > matrix_RC.shape[1]
    x = matrix_RC.T if tall else matrix_RC
    x = x / (x.norm() + 1e-7)  # the largest singular value is at most 1
    for _ in range(steps):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(Optimizer):
    """Muon for groups with `rule: muon`, SGD with Nesterov momentum or AdamW for those with `rule: sgd` or `rule: adamw`.

    Args:
        params: parameters, or groups of them. What has no rule gets muon where it has two dimensions or more, else `other`; a group has one rule.
        lr: of the muon groups: the size of a step in each direction of a weight's matrix (its singular values are about lr).
        momentum: of the muon groups.
        nesterov: of the muon groups: look one step ahead.
        weight_decay: decoupled for muon and adamw, an L2 term of the gradient for sgd; nothing for weights that are renormalized.
        ns_steps: steps of the Newton-Schulz iteration.
        renormalize: before each step, scale a weight to the norm sqrt(rows), so that lr alone says how far a step turns it.
        other: `adamw` (second beta 0.95, eps 1e-10, as its authors take) or `sgd`.
        other_lr: of the other groups.
        other_momentum: of sgd, or the first beta of adamw.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 0.02, *, momentum: float = 0.95, nesterov: bool = True, weight_decay: float = 0.0, ns_steps: int = 5,
        renormalize: bool = False, other: str = "adamw", other_lr: float = 0.001, other_momentum: float = 0.9,
    ) -> None:  # fmt: skip
        given = list(params)
        if given and not isinstance(given[0], dict):
            given = [{"params": [p for p in given if p.ndim >= 2]}, {"params": [p for p in given if p.ndim < 2]}]
        matrix: dict[str, Any] = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps, "renormalize": renormalize}
        rest: dict[str, Any] = {"momentum": other_momentum, "nesterov": True}
        if other == "adamw":
            rest = {"betas": (other_momentum, 0.95), "eps": 1e-10}
        self._options: dict[str, dict[str, Any]] = {"muon": matrix, other: rest}
        self._other = other, other_lr
        super().__init__([group for group in given if group["params"]], {"lr": lr, "weight_decay": weight_decay})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, with the options of its rule where it does not bring them."""
        group = dict(param_group)
        group["params"] = parameters = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        if "rule" not in group:
            is_matrix = all(p.ndim >= 2 for p in parameters)
            group["rule"] = "muon" if is_matrix else self._other[0]
            if not is_matrix:
                group.setdefault("lr", self._other[1])
        group = self._options[group["rule"]] | group
        if group["rule"] == "muon" and group["renormalize"]:
            group["weight_decay"] = 0.0
        super().add_param_group(group)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy is made of."""
        return {**super().__getstate__(), "_options": self._options, "_other": self._other}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rule = {"muon": _muon, "sgd": _sgd, "adamw": _adamw}[group["rule"]]
            for p in group["params"]:
                if p.grad is not None:
                    rule(p, p.grad, self.state[p], group)
        return loss


def _momentum(grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> Tensor:
    """Return the gradient with its momentum, as torch.optim.SGD has it."""
    if "momentum_buffer" not in state:
        state["momentum_buffer"] = torch.zeros_like(grad)
    buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(grad)
    return grad.add(buffer, alpha=group["momentum"]) if group["nesterov"] else buffer


def _muon(p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    rows, columns = p.shape[0], p.numel() // p.shape[0]
    update = orthogonalize(_momentum(grad, state, group).reshape(rows, columns), group["ns_steps"])
    if group["renormalize"]:
        norm = p.norm()
        p.mul_(torch.where(norm > 0, math.sqrt(rows) / norm, 1.0))
    else:
        p.mul_(1 - group["lr"] * group["weight_decay"])
        update = update * math.sqrt(max(1.0, rows / columns))
    p.add_(update.reshape(p.shape), alpha=-group["lr"])


def _sgd(p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    p.add_(_momentum(grad.add(p, alpha=group["weight_decay"]), state, group), alpha=-group["lr"])


def _adamw(p: Tensor, grad: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if "step" not in state:
        state |= {"step": 0, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
    first, second = group["betas"]
    state["step"] += 1
    mean = state["exp_avg"].lerp_(grad, 1 - first) / (1 - first ** state["step"])
    square = state["exp_avg_sq"].lerp_(grad.square(), 1 - second) / (1 - second ** state["step"])
    p.mul_(1 - group["lr"] * group["weight_decay"]).addcdiv_(mean, square.sqrt().add_(group["eps"]), value=-group["lr"])
