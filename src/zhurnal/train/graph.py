"""The graph of a network, drawn as SVG without any other program.

Where torch.fx can trace the network, its nodes are modules and functions, with every branch; else they are the modules without modules in them, in
the order they were called, as one chain (`Graph.traced` says which). Modules used more than once, and those never used, are marked.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from .models.foreign import Adapt
from .summary import Image, example

_FILLS = {"conv": "#dbe9f6", "linear": "#e3f1e1", "norm": "#f5f1dc", "pool": "#f8e6d8", "function": "#ffffff", "end": "#e8e8e8", "other": "#efeaf4"}
_BOX, _HIGH, _STEP, _ARC = (250, 34, 54, 16)  # width and height of a box, from one row to the next, from one arc to the next; pixels
_FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"
_MARK = "#b3261e"


@dataclass(frozen=True)
class Node:
    """A box: a module or a function, called once."""

    name: str  # layer1.0.conv1, or add
    text: str  # Conv2d 64 3x3
    fill: str  # a key of _FILLS
    shape: tuple[int, ...] | None  # of its output, without the batch
    inputs: tuple[int, ...]  # numbers of the nodes it reads; all smaller than its own
    mark: str = ""  # used 2x


@dataclass(frozen=True)
class Graph:
    """Nodes in the order they are computed, and what is true of the whole."""

    nodes: tuple[Node, ...]
    traced: bool  # by torch.fx, with branches; or a chain in the order of calls
    unused: tuple[str, ...]  # modules without modules in them that are never called


def graph(network: nn.Module, image: Image) -> Graph:
    """Return the graph of a network for images of shape `image` = (C, H, W). Its modes and statistics are left as they were."""
    images_NCHW = example(image, 1)
    training = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            try:
                nodes, traced = _trace(network, images_NCHW), True
            except Exception:  # noqa: BLE001  # tracing runs the network's own code on stand-ins, which may raise anything; then there is a chain
                nodes, traced = _chain(network, images_NCHW), False
    finally:
        for module, mode in training:
            module.training = mode
    uses = Counter(node.name for node in nodes if node.fill not in ("function", "end"))
    marked = tuple(replace(n, mark=f"used {uses[n.name]}x") if uses.get(n.name, 0) > 1 else n for n in nodes)
    leaves = [name for name, module in network.named_modules() if name and not any(True for _ in module.children())]
    inside = {node.name for node in nodes} | {name for name in leaves if isinstance(network.get_submodule(name), nn.Identity)}
    unused = tuple(name for name in leaves if not any(name == n or (n and name.startswith(f"{n}.")) for n in inside))
    return Graph(marked, traced, unused)


class _Tracer(fx.Tracer):
    """Takes Zhurnal's own layers as one node, as it does PyTorch's: what they do depends on the tensors they get."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module is not looked into."""
        is_layer = type(m).__module__.startswith("zhurnal.") and not any(True for _ in m.children())
        return is_layer or super().is_leaf_module(m, module_qualified_name)


def _trace(network: nn.Module, images_NCHW: Tensor) -> list[Node]:
    traced = fx.GraphModule(network, _Tracer().trace(network))
    for hook in network._forward_pre_hooks.values():  # torch.fx does not see hooks of the whole network
        if isinstance(hook, Adapt):
            (images_NCHW,) = hook(network, (images_NCHW,))
    ShapeProp(traced).propagate(images_NCHW)
    nodes: list[Node] = []
    number: dict[fx.Node, tuple[int, ...]] = {}  # what a node's readers read: itself, or its own inputs where it is not drawn
    for node in traced.graph.nodes:
        inputs = tuple(dict.fromkeys(i for source in node.all_input_nodes for i in number[source]))
        meta = node.meta.get("tensor_meta")
        shape = tuple(meta.shape[1:]) if hasattr(meta, "shape") else None
        drawn = node.op in ("placeholder", "call_module", "output") or (node.op != "get_attr" and shape is not None and bool(inputs))
        if node.op == "call_module" and isinstance(traced.get_submodule(str(node.target)), nn.Identity):
            drawn = False  # what it reads goes on to its readers: a shortcut is an arc
        if not drawn:
            number[node] = inputs
            continue
        number[node] = (len(nodes),)
        if node.op == "call_module":
            nodes.append(Node(str(node.target), *_describe(traced.get_submodule(str(node.target))), shape, inputs))
        elif node.op in ("placeholder", "output"):
            last = nodes[inputs[-1]].shape if inputs else shape
            nodes.append(Node("images" if node.op == "placeholder" else "logits", "", "end", last, inputs))
        else:
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
            nodes.append(Node(str(name), "", "function", shape, inputs))
    return _reached(nodes)


def _reached(nodes: list[Node]) -> list[Node]:
    """Leave out what the output does not depend on."""
    needed = {len(nodes) - 1}
    for i in range(len(nodes) - 1, -1, -1):
        if i in needed:
            needed.update(nodes[i].inputs)
    kept = sorted(needed | {0})
    place = {old: new for new, old in enumerate(kept)}
    return [replace(nodes[i], inputs=tuple(place[j] for j in nodes[i].inputs)) for i in kept]


def _chain(network: nn.Module, images_NCHW: Tensor) -> list[Node]:
    nodes = [Node("images", "", "end", tuple(images_NCHW.shape[1:]), ())]

    def called(module: nn.Module, name: str, output: Any) -> None:
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else None
        nodes.append(Node(name, *_describe(module), shape, (len(nodes) - 1,)))

    leaves = [(name, module) for name, module in network.named_modules() if not any(True for _ in module.children())]
    handles = [m.register_forward_hook(lambda module, _, output, name=name: called(module, name, output)) for name, m in leaves]
    try:
        logits_NK = network(images_NCHW)
    finally:
        for handle in handles:
            handle.remove()
    return [*nodes, Node("logits", "", "end", tuple(logits_NK.shape[1:]), (len(nodes) - 1,))]


def _describe(module: nn.Module) -> tuple[str, str]:
    """Return what a module is, in a few words, and the fill of its box."""
    kind = type(module).__name__
    if isinstance(module, nn.modules.conv._ConvNd):
        stride = f" /{module.stride[0]}" if set(module.stride) != {1} else ""
        groups = f" in {module.groups} groups" if module.groups > 1 else ""
        return f"{kind} {module.out_channels} {'x'.join(map(str, module.kernel_size))}{stride}{groups}", "conv"
    if isinstance(module, nn.Linear):
        return f"{kind} {module.out_features}", "linear"
    if "Norm" in kind:
        return kind, "norm"
    if "Pool" in kind:
        size = getattr(module, "kernel_size", None) or getattr(module, "output_size", "")
        return f"{kind} {'x'.join(map(str, size)) if isinstance(size, tuple) else size}".strip(), "pool"
    return kind, "other"


# --- drawing ---------------------------------------------------------------------------------------------------------------------------------


def place(graph: Graph) -> list[tuple[int, int]]:
    """Return the (column, row) of each node: the longest way from start to end in column 0, branches beside it, no two in one place."""
    nodes = graph.nodes
    row = [0] * len(nodes)
    for i, node in enumerate(nodes):
        row[i] = max((row[j] + 1 for j in node.inputs), default=0)
    main = {len(nodes) - 1}
    i = len(nodes) - 1
    while nodes[i].inputs:
        i = max(nodes[i].inputs, key=lambda j: row[j])
        main.add(i)
    taken: set[tuple[int, int]] = {(0, row[i]) for i in main}
    places: list[tuple[int, int]] = []
    for i, node in enumerate(nodes):
        if i in main:
            places.append((0, row[i]))
            continue
        column = max((places[j][0] for j in node.inputs if j not in main), default=1)
        end = max((row[k] for k, reader in enumerate(nodes) if i in reader.inputs), default=row[i] + 1)  # its arrow goes down to there
        while any((column, r) in taken for r in range(row[i], end)):
            column += 1
        taken.update((column, r) for r in range(row[i], end))
        places.append((column, row[i]))
    return places


def svg(graph: Graph, title: str = "") -> str:
    """Return the drawing of a graph: a file of its own, in pixels, with no fonts or pictures from elsewhere."""
    places = place(graph)
    arcs = _arcs(graph, places)
    left = 30 + _ARC * (max(arcs.values(), default=-1) + 1)
    columns, rows = max(c for c, _ in places) + 1, max(r for _, r in places) + 1
    width, top = left + columns * (_BOX + 40) + 60, 44 if title else 16
    notes = [] if graph.traced else ["in the order of calls: torch.fx cannot trace this network, so branches are not shown"]
    notes += [f"never used: {name}" for name in graph.unused]
    height = top + rows * _STEP + 18 * len(notes) + 8
    out = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}'>"]
    out.append("<defs><marker id='a' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto-start-reverse'>")
    out.append(f"<path d='M0 0 8 4 0 8z' fill='#555'/></marker></defs><rect width='{width}' height='{height}' fill='#fff'/>")
    if title:
        out.append(f"<text x='{left}' y='28' {_FONT} font-size='16' font-weight='bold'>{escape(title)}</text>")

    def corner(i: int) -> tuple[int, int]:
        return left + places[i][0] * (_BOX + 40), top + places[i][1] * _STEP

    for i, node in enumerate(graph.nodes):
        x, y = corner(i)
        for j in node.inputs:
            out.append(f"<path d='{_line(corner(j), (x, y), arcs.get((j, i)), left)}' fill='none' stroke='#555' marker-end='url(#a)'/>")
    for i, node in enumerate(graph.nodes):
        out += _box(node, *corner(i))
    for k, note in enumerate(notes):
        y = top + rows * _STEP + 18 * k + 4
        out.append(f"<text x='{left}' y='{y}' {_FONT} font-size='12' fill='{_MARK}'>{escape(note)}</text>")
    return "\n".join([*out, "</svg>"]) + "\n"


def _arcs(graph: Graph, places: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return a lane to the left of the boxes for each edge that would run through a box; edges in one lane do not meet."""
    occupied = set(places)
    edges = [
        (j, i)
        for i, node in enumerate(graph.nodes)
        for j in node.inputs
        if places[i][0] == places[j][0] and any((places[i][0], r) in occupied for r in range(places[j][1] + 1, places[i][1]))
    ]
    edges.sort(key=lambda e: places[e[1]][1] - places[e[0]][1])
    lanes: dict[tuple[int, int], int] = {}
    for edge in edges:
        first, last = places[edge[0]][1], places[edge[1]][1]
        taken = {lane for (j, i), lane in lanes.items() if first < places[i][1] and places[j][1] < last}
        lanes[edge] = next(k for k in range(len(edges)) if k not in taken)
    return lanes


def _line(start: tuple[int, int], end: tuple[int, int], lane: int | None, left: int) -> str:
    """Return the path of an arrow from the box at `start` to the box at `end`, both top left corners."""
    (x1, y1), (x2, y2) = start, end
    if lane is not None:
        x, out, into = min(x1, x2) - 14 - _ARC * lane, y1 + _HIGH * 3 // 4, y2 + _HIGH // 4
        return f"M{x1} {out}H{x + 8}Q{x} {out} {x} {out + 8}V{into - 8}Q{x} {into} {x + 8} {into}H{x2 - 1}"
    a, b = (x1 + _BOX // 2, y1 + _HIGH), (x2 + _BOX // 2, y2)
    if a[0] == b[0]:
        return f"M{a[0]} {a[1]}V{b[1] - 1}"
    if x2 > x1:  # out to a branch: from the lower part of the box's side
        out = y1 + _HIGH * 3 // 4
        return f"M{x1 + _BOX} {out}H{b[0] - 8}Q{b[0]} {out} {b[0]} {out + 8}V{b[1] - 1}"
    into = y2 + _HIGH // 4  # and back in at the upper part, so that the two do not meet
    return f"M{a[0]} {a[1]}V{into - 8}Q{a[0]} {into} {a[0] - 8} {into}H{x2 + _BOX + 1}"


def _box(node: Node, x: int, y: int) -> list[str]:
    stroke, thick = (_MARK, 1.6) if node.mark else ("#777", 1)
    shape = "x".join(map(str, node.shape)) if node.shape is not None else ""
    name = node.name if len(node.name) <= 26 else "…" + node.name[-25:]
    small = f"{node.text}{', ' if node.text and node.mark else ''}{node.mark}"
    colour = _MARK if node.mark else "#444"
    middle = y + (14 if small else 21)
    out = [
        f"<rect x='{x}' y='{y}' width='{_BOX}' height='{_HIGH}' rx='{17 if node.fill == 'end' else 4}' fill='{_FILLS[node.fill]}' "
        f"stroke='{stroke}' stroke-width='{thick}'/>",
        f"<text x='{x + 8}' y='{middle}' {_FONT} font-size='12'>{escape(name)}</text>",
        f"<text x='{x + _BOX - 8}' y='{middle}' {_FONT} font-size='11' fill='#444' text-anchor='end'>{shape}</text>",
    ]
    if small:
        out.append(f"<text x='{x + 8}' y='{y + 28}' {_FONT} font-size='11' fill='{colour}'>{escape(small)}</text>")
    return out
