"""Muon: what its steps are."""

import copy
import math

import pytest
import torch
from torch import nn

from zhurnal.train.muon import Muon, orthogonalize


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.parametrize("shape", [(4, 4), (5, 30), (30, 5), (64, 27)])
def test_orthogonalizing_keeps_directions_and_levels_their_lengths(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalize(matrix, 8)
    inner = u.T @ found @ vt.T  # diagonal: the singular vectors are as they were
    assert (inner - inner.diag().diag()).abs().max() < 1e-6
    assert 0.6 < inner.diag().min() <= inner.diag().max() < 1.25
    assert torch.equal(orthogonalize(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_a_step_is_the_authors_formula():
    """Nesterov momentum, five steps in bfloat16's stead float32, times max(1, rows / columns)^0.5, and decoupled decay."""
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(8, 3, 1, 1))
    start = weight.detach().clone()
    optimizer = Muon([weight], 0.1, momentum=0.9, weight_decay=0.5)
    buffer, expected = torch.zeros(8, 3), start.reshape(8, 3).clone()
    for _ in range(3):
        grad = torch.randn(8, 3)
        weight.grad = grad.reshape(8, 3, 1, 1).clone()
        optimizer.step()
        buffer = 0.9 * buffer + grad
        x = (grad + 0.9 * buffer).T
        x = x / x.norm()
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * math.sqrt(8 / 3) * x.T
    torch.testing.assert_close(weight.detach().reshape(8, 3), expected)


def test_renormalized_weights_have_the_norm_of_their_outputs():
    weight = nn.Parameter(5 * torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    before = weight.detach() / weight.norm() * math.sqrt(6)
    weight.grad = torch.randn_like(weight)
    grad = weight.grad.clone()
    optimizer = Muon([weight], 0.24, renormalize=True, ns_steps=3, momentum=0.0, nesterov=False, weight_decay=0.1)
    assert optimizer.param_groups[0]["weight_decay"] == 0
    optimizer.step()
    torch.testing.assert_close(weight.detach(), before - 0.24 * orthogonalize(grad.reshape(6, 18), 3).reshape(6, 2, 3, 3))
    zero = nn.Parameter(torch.zeros(2, 2))
    zero.grad = torch.eye(2)
    Muon([zero], 0.1, renormalize=True).step()
    assert zero.isfinite().all()


@pytest.mark.parametrize("other", ["sgd", "adamw"])
def test_the_others_are_pytorch_s(other):
    torch.manual_seed(0)
    bias = nn.Parameter(torch.randn(5))
    twin = copy.deepcopy(bias)
    ours = Muon([bias], 0.5, other=other, other_lr=0.1, other_momentum=0.8, weight_decay=0.2)
    theirs = (
        torch.optim.SGD([twin], 0.1, momentum=0.8, nesterov=True, weight_decay=0.2)
        if other == "sgd"
        else torch.optim.AdamW([twin], 0.1, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.2)
    )
    for _ in range(10):
        bias.grad = torch.randn(5)
        twin.grad = bias.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(bias, twin)


def test_it_solves_a_problem_of_matrices():
    """Constant steps end within about lr of the answer; a falling lr gets there."""
    torch.manual_seed(0)
    inputs_ND = torch.randn(64, 5)
    targets_NK = inputs_ND @ torch.randn(5, 3) + 0.5
    layer = nn.Linear(5, 3)
    optimizer = Muon(layer.parameters(), 0.1, other_lr=0.1)
    losses = []
    for step in range(200):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - step / 200)
        loss = (layer(inputs_ND) - targets_NK).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]


def test_groups_that_join_have_the_options_of_their_rule_also_in_a_copy():
    kept, matrix, bias = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(4))
    optimizer = Muon(
        [{"params": [kept], "rule": "sgd"}], 0.1, momentum=0.6, other="sgd", other_lr=0.3, other_momentum=0.8, renormalize=True, ns_steps=3
    )
    for which in (optimizer, copy.deepcopy(optimizer)):
        which.add_param_group({"params": [matrix]})
        which.add_param_group({"params": bias})
        first, second = which.param_groups[1:]
        assert (first["rule"], first["lr"], first["momentum"], first["ns_steps"], first["weight_decay"]) == ("muon", 0.1, 0.6, 3, 0.0)
        assert (second["rule"], second["lr"], second["momentum"]) == ("sgd", 0.3, 0.8)
        for p in (matrix, bias):
            p.grad = torch.randn_like(p)
        which.step()
