"""Graphs of steps and tables: SVG within a page, in the page's colours, without scripts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from lib.steps import STEPS

LETTER, LINE = 7.6, 20  # the width of a character and the height of a line, in pixels
BESIDE, BELOW, INSIDE = 48, 14, 12  # free space between columns, between boxes, and around text
WIDTH = 1120  # of a graph, if its boxes need no more
LONGEST = 40  # characters of a text
SVG = Markup(
    '<svg class="graph" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="group" '
    'aria-labelledby="{name} {name}-text"><title id="{name}">{title}</title>'
    '<desc id="{name}-text">{text}</desc>{content}</svg>')
EDGE = Markup('<path class="edge" d="M{x:.0f} {y:.0f}C{middle:.0f} {y:.0f} {middle:.0f} {to_y:.0f} '
              '{to_x:.0f} {to_y:.0f}"/>')
RECTANGLE = Markup('<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="6"/>')
TEXT = Markup('<text x="{x:.0f}" y="{y:.0f}" class="{kind}">{text}</text>')
LINK = Markup('<a href="{link}">{text}</a>')


@dataclass(frozen=True)
class Box:
    """A box of a graph: its heading, and lines below it. Each has a text on the left and one on the right."""

    name: str  # by which edges refer to it
    heading: tuple[str, str]
    lines: tuple[tuple[str, str], ...] = ()
    link: str = ""  # of the heading

    @property
    def width(self) -> float:
        longest = max(len(_clip(left)) + len(right) + 3 * bool(right)
                      for left, right in (self.heading, *self.lines))
        return longest * LETTER + 2 * INSIDE

    @property
    def height(self) -> float:
        return LINE * (1 + len(self.lines)) + INSIDE


def draw_graph(name: str, title: str, columns: Sequence[Sequence[Box]],
               edges: Iterable[tuple[str, str]], headings: Sequence[str] = ()) -> Markup:
    """Return boxes in columns from left to right, with an edge for each pair of names.

    `name` is the id of the graph in its page. Its edges are also there as text, for who cannot see them.
    """
    widths = [max(box.width for box in boxes) for boxes in columns]
    heights = [sum(box.height + BELOW for box in boxes) - BELOW for boxes in columns]
    beside = max(BESIDE, (WIDTH - sum(widths)) / max(1, len(columns) - 1))
    top = LINE + BELOW if headings else 1
    x, places, shapes = 1.0, {}, []
    for number, (boxes, width, height) in enumerate(zip(columns, widths, heights, strict=True)):
        if headings:
            shapes.append(TEXT.format(x=x, y=LINE, kind="column", text=headings[number]))
        y = top + (max(heights) - height) / 2
        for box in boxes:
            places[box.name] = (x, y + box.height / 2, width)
            shapes.append(_draw_box(box, x, y, width))
            y += box.height + BELOW
        x += width + beside
    known = [(source, target) for source, target in edges if source in places and target in places]
    lines = [_draw_edge(places[source], places[target]) for source, target in known]
    return SVG.format(width=x - beside + 1, height=top + max(heights) + 1, name=name, title=title,
                      text="; ".join(f"{source} to {target}" for source, target in known),
                      content=Markup("").join([*lines, *shapes]))


def draw_steps(steps: list[dict[str, Any]], tables: list[dict[str, Any]]) -> Markup:
    """Return the graph of a run: its steps, and in each one its tables with what was written."""
    boxes = {step["name"]: _step_box(step, tables) for step in steps if step["name"] in STEPS}
    columns = [[boxes[name] for name in names if name in boxes]
               for names in (("raw",), ("dimensions", "facts"), ("gold",))]
    edges = [(source, target) for source, before in STEPS.items() for target, after in STEPS.items()
             if before.writes == after.reads and set(before.outputs) & set(after.inputs)]
    title = "The steps of this run and their tables"
    return draw_graph("graph", title, [boxes for boxes in columns if boxes], edges) if boxes else Markup("")


def _step_box(step: dict[str, Any], tables: list[dict[str, Any]]) -> Box:
    lines = [(table["name"], _describe_change(table)) for table in tables if table["step"] == step["name"]]
    return Box(step["name"], (f"{step['number']} {step['name']}", step["verdict"]), tuple(lines),
               step["link"] or "")


def _describe_change(table: dict[str, Any]) -> str:
    parts = [f"{sign}{table['counts'][count]:,}" for count, sign in
             (("added", "+"), ("removed", "−"), ("changed", "±")) if table["counts"][count]]
    return " ".join([*parts, f"→ {table['after']:,}"]) if parts else f"{table['after']:,}"


def _draw_box(box: Box, x: float, y: float, width: float) -> Markup:
    (left, right), link = box.heading, quote(box.link, safe="/#.")
    heading = LINK.format(link=link, text=_clip(left)) if link else _clip(left)
    shapes = [RECTANGLE.format(x=x, y=y, width=width, height=box.height),
              TEXT.format(x=x + INSIDE, y=y + LINE, kind="heading", text=heading),
              TEXT.format(x=x + width - INSIDE, y=y + LINE, kind=f"right verdict {right}", text=right)]
    for number, (left, right) in enumerate(box.lines, 2):
        shapes += [TEXT.format(x=x + INSIDE, y=y + LINE * number, kind="left", text=_clip(left)),
                   TEXT.format(x=x + width - INSIDE, y=y + LINE * number, kind="right", text=right)]
    return Markup("").join(shapes)


def _draw_edge(source: tuple[float, float, float], target: tuple[float, float, float]) -> Markup:
    (left, y, width), (to_x, to_y, _) = source, target
    x = left + width
    return EDGE.format(x=x, y=y, to_x=to_x, to_y=to_y, middle=(x + to_x) / 2)


def _clip(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
