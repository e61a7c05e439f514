"""The report's page taken apart into blocks, in their order: what a printed layout is made of.

The page is the only place where the report's words and numbers are put together; a layout for print reads them there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final, Literal

Kind = Literal["first", "title", "lead", "section", "part", "text", "note", "aside", "item"]
RowKind = Literal["head", "body", "group", "foot"]

_TEXTS: Final[dict[str, Kind]] = {"h1": "title", "h2": "section", "h3": "part", "p": "text"}
_CLASSES: Final[dict[str, Kind]] = {"first": "first", "lead": "lead", "note": "note", "aside": "aside"}
_ROWS: Final[dict[str, RowKind]] = {"thead": "head", "tbody": "body", "tfoot": "foot"}
_NOT_READ: Final = ("head", "script", "style", "svg")
_SIGNS: Final = {"rect": "▬", "line": "│", "path": "◆"}
_EMPTY: Final = ("br", "hr", "img", "input", "link", "meta")
"""Tags that have no end."""


@dataclass
class Text:
    """A heading, paragraph or item; `mark` stands before an item: "•" or its number."""

    kind: Kind
    text: str = ""
    mark: str = ""


@dataclass
class Cell:
    """A cell: its text, or a bar of so much of its width (0–1)."""

    text: str = ""
    number: bool = False
    strong: bool = False
    bar: float | None = None


@dataclass
class Row:
    kind: RowKind
    cells: list[Cell] = field(default_factory=list)


@dataclass
class Table:
    rows: list[Row] = field(default_factory=list)


@dataclass
class Pairs:
    """Questions with their answers; `cases` stand beside each other with a large value."""

    cases: bool
    rows: list[tuple[str, list[str]]] = field(default_factory=list)


@dataclass
class Picture:
    """The place of the next picture, and what stands below it."""

    caption: str = ""


Block = Text | Table | Pairs | Picture


@dataclass
class _Node:
    """A tag with what stands in it."""

    tag: str
    given: dict[str, str] = field(default_factory=dict)
    inside: "list[_Node | str]" = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        return self.given.get("class", "").split()

    def below(self) -> "Iterator[_Node]":
        """The tags in it, in their order, those within them too."""
        for node in self.inside:
            if isinstance(node, _Node):
                yield node
                yield from node.below()

    def text(self) -> str:
        """Its words with single blanks; blanks that do not break stay."""
        words = "".join(self._words()).replace("\n", " ").replace("\t", " ").split(" ")
        return " ".join(word for word in words if word)

    def _words(self) -> Iterator[str]:
        for node in self.inside:
            if isinstance(node, str):
                yield node
            elif node.tag not in _NOT_READ:
                yield from node._words()


class _Tree(HTMLParser):
    """The page as a tree; what a user wrote is escaped there, so that it is only text here."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = _Node("")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = _Node(tag, {name: value or "" for name, value in attrs})
        self._open[-1].inside.append(node)
        if tag not in _EMPTY:
            self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].inside.append(_Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if any(node.tag == tag for node in self._open[1:]):
            while self._open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        self._open[-1].inside.append(data)


def blocks_of(page: str) -> list[Block]:
    """The blocks of a report's page. Texts are as written, blanks are single, no tag is left.

    Examples
    --------
    >>> blocks_of("<h2>By <bdi>A &lt;b&gt;</bdi></h2><table><tbody><tr><td class=n>1</td></tr></tbody></table>")
    [Text(kind='section', text='By A <b>', mark=''), Table(rows=[Row(kind='body', cells=[Cell(text='1', number=True, \
strong=False, bar=None)])])]
    """
    tree = _Tree()
    tree.feed(page)
    tree.close()
    return [block for block in _blocks(tree.root) if not (isinstance(block, Text) and not block.text)]


def _blocks(node: _Node) -> Iterator[Block]:
    for one in node.inside:
        if isinstance(one, str) or one.tag in _NOT_READ:
            continue
        match one.tag:
            case "h1" | "h2" | "h3" | "p":
                yield Text(_kind(one, node), one.text())
            case "ol" | "ul":
                items = [item for item in one.below() if item.tag == "li"]
                for number, item in enumerate(items, start=1):
                    yield Text("item", item.text(), f"{number}." if one.tag == "ol" else "•")
            case "dl":
                yield Pairs("cases" in one.classes, [_pair(row) for row in one.inside if isinstance(row, _Node)])
            case "table":
                yield Table(list(_rows(one)))
            case "figure":
                yield Picture("   ".join(_legend(span) for span in one.below() if span.tag == "span"))
            case _:
                yield from _blocks(one)


def _legend(span: _Node) -> str:
    """What a mark of the picture means, behind a sign that looks like it."""
    marks = [_SIGNS[mark.tag] for mark in span.below() if mark.tag in _SIGNS]
    return " ".join([*marks[:1], span.text()])


def _kind(node: _Node, outer: _Node) -> Kind:
    if "aside" in outer.classes:
        return "aside"
    return next((_CLASSES[name] for name in node.classes if name in _CLASSES), _TEXTS[node.tag])


def _pair(row: _Node) -> tuple[str, list[str]]:
    texts = [(node.tag, node.text()) for node in row.below() if node.tag in ("dt", "dd")]
    return texts[0][1], [text for _, text in texts[1:]]


def _rows(table: _Node) -> Iterator[Row]:
    for part in table.inside:
        if isinstance(part, str):
            continue
        for row in part.below():
            if row.tag == "tr":
                cells = [cell for cell in row.inside if isinstance(cell, _Node)]
                group = any("group" in cell.classes for cell in cells)
                yield Row("group" if group else _ROWS[part.tag], [_cell(cell) for cell in cells])


def _cell(node: _Node) -> Cell:
    """A bar is drawn within a track of 96 units."""
    filled = [
        float(mark.given["width"]) / 96 for mark in node.below() if mark.tag == "rect" and mark.classes == ["fill"]
    ]
    return Cell(node.text(), "n" in node.classes, "strong" in node.classes, filled[0] if filled else None)


def texts_of(block: Block) -> Iterator[str]:
    """Every text of a block, in its order."""
    match block:
        case Text():
            yield block.text
        case Table():
            yield from (cell.text for row in block.rows for cell in row.cells)
        case Pairs():
            yield from (text for term, told in block.rows for text in (term, *told))
        case Picture():
            yield block.caption
