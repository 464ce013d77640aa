"""A program's graph as a picture: layers from top to bottom, a panel a function, in plain SVG.

Ways and jumps forward lead down from layer to layer. Those back run between the layers to a lane at the right, and up.
A jump into another function ends in a signpost that names where it leads.

What does not belong here: reading programs (``graph``).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from html import escape

from autograms.program.graph import Edge, Graph, Node

__all__ = ["draw"]

_LETTER, _LINE, _PAD = 6.4, 15.0, 9.0
_ROW, _GAP, _LANE = 40.0, 26.0, 12.0
_MARGIN, _TITLE, _WIDEST = 18.0, 40.0, 1300.0
_COLOURS = {
    "start": ("#e8eefc", "#3b5bdb"),
    "end": ("#e8eefc", "#3b5bdb"),
    "say": ("#e6f6ec", "#2b8a3e"),
    "think": ("#fdf3e1", "#c77700"),
    "decide": ("#f5eafa", "#862e9c"),
    "loop": ("#f1f3f5", "#495057"),
    "call": ("#e3fafc", "#0b7285"),
    "place": ("#ffffff", "#868e96"),
}
_LINES = {
    "next": ("#495057", ""),
    "jump": ("#c92a2a", "5 4"),
}
_STYLE = "font-family: Inter, Helvetica, Arial, sans-serif; font-size: 11.5px"


@dataclass(slots=True)
class _Box:
    """A node on the page, or (without one) a bend of an edge that crosses its layer."""

    node: Node | None
    layer: int
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


@dataclass(slots=True)
class _Panel:
    """One function's part of the picture."""

    function: str
    boxes: dict[str, _Box]
    layers: list[list[_Box]]
    chains: dict[Edge, list[_Box]]
    back: list[Edge]
    width: float = 0.0
    height: float = 0.0
    x: float = 0.0
    y: float = 0.0
    lanes: dict[Edge, float] = field(default_factory=dict)


def draw(graph: Graph) -> str:
    """Return the graph as SVG text."""
    panels = [_panel(graph, function) for function in graph.functions]
    width, height = _arrange(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" style="{_STYLE}">',
        f"<title>{escape(graph.name)}</title>",
        _markers(),
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    for panel in panels:
        parts += [f'<g transform="translate({panel.x:.1f},{panel.y:.1f})">', _frame(panel)]
        parts += [_down(panel, edge) for edge in panel.chains]
        parts += [_up(panel, edge, number) for number, edge in enumerate(panel.back)]
        parts += [*map(_shape, panel.boxes.values()), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


# -------------------------------------------------------------------------------------------------------------- layout


def _arrange(panels: list[_Panel]) -> tuple[float, float]:
    """Set the panels in rows; return the size of the whole."""
    widest = max(_WIDEST, *(panel.width + 2 * _MARGIN for panel in panels))
    x = y = right = _MARGIN
    tallest = 0.0
    for panel in panels:
        if x > _MARGIN and x + panel.width + _MARGIN > widest:
            x, y, tallest = _MARGIN, y + tallest + _MARGIN, 0.0
        panel.x, panel.y = x, y
        x += panel.width + _MARGIN
        right, tallest = max(right, x), max(tallest, panel.height)
    return right, y + tallest + _MARGIN


def _panel(graph: Graph, function: str) -> _Panel:
    """Lay out one function: layers by the longest way, order by the neighbours above."""
    boxes = {node.key: _box(node) for node in graph.nodes if node.function == function}
    edges = [edge for edge in graph.edges if edge.source in boxes and edge.kind != "call"]
    for edge in [edge for edge in edges if edge.target not in boxes]:
        target = next(node for node in graph.nodes if node.key == edge.target)
        post = Node(edge.target, function, "place", f"to @{target.address} in {target.function}()", target.line)
        boxes[edge.target] = _box(post)
    place = {key: number for number, key in enumerate(boxes)}
    forward = [edge for edge in edges if place[edge.source] < place[edge.target]]
    for key, box in boxes.items():
        box.layer = max((boxes[edge.source].layer + 1 for edge in forward if edge.target == key), default=0)
    layers: list[list[_Box]] = [[] for _ in range(1 + max(box.layer for box in boxes.values()))]
    for box in boxes.values():
        layers[box.layer].append(box)
    chains = {edge: _chain(boxes, layers, edge) for edge in forward}
    panel = _Panel(function, boxes, layers, chains, [edge for edge in edges if edge not in chains])
    _order(panel)
    _position(panel)
    return panel


def _box(node: Node) -> _Box:
    lines = node.title.split("\n")
    width = max(map(len, lines)) * _LETTER + 2 * _PAD
    height = len(lines) * _LINE + 2 * _PAD - 4
    if node.kind in ("decide", "loop"):
        width += 26
    return _Box(node, 0, max(width, 46.0), height)


def _chain(boxes: dict[str, _Box], layers: list[list[_Box]], edge: Edge) -> list[_Box]:
    """Return the boxes that an edge passes, a bend in every layer between its ends."""
    source, target = boxes[edge.source], boxes[edge.target]
    bends = [_Box(None, layer, 12.0, 10.0) for layer in range(source.layer + 1, target.layer)]
    for bend in bends:
        layers[bend.layer].append(bend)
    return [source, *bends, target]


def _order(panel: _Panel) -> None:
    """Order each layer by where its neighbours stand, a few times down and up."""
    above: dict[int, list[_Box]] = {}
    below: dict[int, list[_Box]] = {}
    for chain in panel.chains.values():
        for upper, lower in itertools.pairwise(chain):
            above.setdefault(id(lower), []).append(upper)
            below.setdefault(id(upper), []).append(lower)
    for sweep in range(6):
        neighbours = above if sweep % 2 == 0 else below
        rank = {id(box): number for layer in panel.layers for number, box in enumerate(layer)}
        for layer in panel.layers if sweep % 2 == 0 else reversed(panel.layers):
            wanted = {
                id(box): sum(rank[id(other)] for other in neighbours.get(id(box), [])) / len(neighbours[id(box)])
                if neighbours.get(id(box))
                else float(rank[id(box)])
                for box in layer
            }
            layer.sort(key=lambda box: wanted[id(box)])
            rank.update({id(box): number for number, box in enumerate(layer)})
    for _ in range(4):
        _spread(panel, above)
        _spread(panel, below)
    left = min(box.x - box.width / 2 for layer in panel.layers for box in layer)
    for layer in panel.layers:
        for box in layer:
            box.x -= left


def _spread(panel: _Panel, neighbours: dict[int, list[_Box]]) -> None:
    """Move each box towards the middle of its neighbours, boxes of one layer kept apart."""
    for layer in panel.layers:
        wanted = [
            sum(other.x for other in near) / len(near) if (near := neighbours.get(id(box))) else box.x for box in layer
        ]
        edge = float("-inf")
        for box, x in zip(layer, wanted, strict=True):
            box.x = max(x, edge + box.width / 2)
            edge = box.x + box.width / 2 + _GAP
        shift = sum(x - box.x for box, x in zip(layer, wanted, strict=True)) / len(layer)
        for box in layer:
            box.x += shift


def _position(panel: _Panel) -> None:
    """Give every box its place on the page, and every edge upwards a lane at the right."""
    y = _TITLE + _PAD
    for layer in panel.layers:
        tallest = max(box.height for box in layer)
        for box in layer:
            box.y = y + tallest / 2
        y += tallest + _ROW
    right = max(box.x + box.width / 2 for layer in panel.layers for box in layer)
    panel.back.sort(key=lambda edge: abs(panel.boxes[edge.source].y - panel.boxes[edge.target].y))
    panel.lanes = {edge: right + _PAD * 2 + _LANE * (number + 1) for number, edge in enumerate(panel.back)}
    for layer in panel.layers:
        for box in layer:
            box.x += _PAD * 2
    panel.width = max(right + _LANE * (len(panel.back) + 1) + _PAD * 4, len(panel.function) * 8 + 40)
    panel.height = y - _ROW + _PAD * 2 + (_ROW / 2 if panel.back else 0)


# ------------------------------------------------------------------------------------------------------------- drawing


def _markers() -> str:
    made = [
        f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0,0 L8,4 L0,8 z" fill="{colour}"/></marker>'
        for kind, (colour, _) in _LINES.items()
    ]
    return f"<defs>{''.join(made)}</defs>"


def _frame(panel: _Panel) -> str:
    return (
        f'<rect width="{panel.width:.1f}" height="{panel.height:.1f}" rx="8" fill="#fafbfc" stroke="#dee2e6"/>'
        f'<text x="14" y="22" font-weight="600" fill="#343a40">{escape(panel.function)}()</text>'
    )


def _shape(box: _Box) -> str:
    node = box.node
    assert node is not None
    fill, line = _COLOURS[node.kind]
    x, y, w, h = box.x - box.width / 2, box.y - box.height / 2, box.width, box.height
    style = f'fill="{fill}" stroke="{line}"'
    if node.kind in ("decide", "loop"):
        c = 13
        points = f"{x},{y + h / 2} {x + c},{y} {x + w - c},{y} {x + w},{y + h / 2} {x + w - c},{y + h} {x + c},{y + h}"
        shape = f'<polygon points="{points}" {style}/>'
    else:
        radius = {"start": h / 2, "end": h / 2, "think": 10}.get(node.kind, 2)
        dashed = ' stroke-dasharray="4 3"' if node.kind == "place" else ""
        shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{radius}" {style}{dashed}/>'
    lines = node.title.split("\n")
    first = box.y - (len(lines) - 1) * _LINE / 2 + 4
    texts = [
        f'<text x="{box.x:.1f}" y="{first + number * _LINE:.1f}" text-anchor="middle" '
        f'fill="{"#212529" if number == 0 else line}">{escape(text)}</text>'
        for number, text in enumerate(lines)
    ]
    return f"<g><title>line {node.line}</title>{shape}{''.join(texts)}</g>"


def _down(panel: _Panel, edge: Edge) -> str:
    """A way to a later node: from the bottom of one to the top of the other, through its bends."""
    first, *bends, last = panel.chains[edge]
    points = [(first.x, first.y + first.height / 2)]
    points += [(bend.x, bend.y) for bend in bends]
    points.append((last.x, last.y - last.height / 2 - 1))
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        path += f" C{x0:.1f},{middle:.1f} {x1:.1f},{middle:.1f} {x1:.1f},{y1:.1f}"
    (x0, y0), (x1, y1) = points[0], points[1]
    return _path(path, edge, (x0 + x1) / 2, (y0 + y1) / 2 + 3)


def _up(panel: _Panel, edge: Edge, number: int) -> str:
    """A way back: down into the gap between the layers, along it to a lane at the right, up, and in from above."""
    source, target, lane = panel.boxes[edge.source], panel.boxes[edge.target], panel.lanes[edge]
    x0, y0 = source.x + source.width * 0.3, source.y + source.height / 2
    x1, y1 = target.x + target.width * 0.3, target.y - target.height / 2 - 1
    low, high = y0 + 5 + number % 3 * 4, y1 - 7 - number % 3 * 4
    path = (
        f"M{x0:.1f},{y0:.1f} V{low:.1f} H{lane - 6:.1f} Q{lane:.1f},{low:.1f} {lane:.1f},{low - 6:.1f} "
        f"V{high + 6:.1f} Q{lane:.1f},{high:.1f} {lane - 6:.1f},{high:.1f} H{x1:.1f} V{y1:.1f}"
    )
    return _path(path, edge, x0 + 12 + len(edge.label) * 3 + number % 3 * 36, low + 4)


def _path(path: str, edge: Edge, x: float, y: float) -> str:
    colour, dashes = _LINES[edge.kind]
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    made = f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.2"{dashed} marker-end="url(#{edge.kind})"/>'
    if edge.label:
        made += (
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{colour}" font-size="10.5" stroke="#fafbfc" '
            f'stroke-width="3" paint-order="stroke">{escape(edge.label[:24])}</text>'
        )
    return made
