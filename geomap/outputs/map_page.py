"""One file from a Folium drawing: libraries inlined, nothing fetched, the same bytes each time, texts as data."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import files
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, Final

from geomap.errors import OutputError

_LIBRARIES: Final = {"leaflet.js": ("xstatic-leaflet", "leaflet.js"), "leaflet.css": ("xstatic-leaflet", "leaflet.css")}
"""Files that Folium links to and the pages need, by name: distribution and file."""

_NOT_NEEDED: Final = ("jquery", "bootstrap", "awesome", "fontawesome", "all.min.css")
"""Links that Folium adds for its popups and icons; these pages use neither."""


@dataclass(frozen=True)
class Kind:
    """The files of `assets` that make a page: its HTML with slots, its style sheet and its scripts in their order."""

    html: str
    style: str
    scripts: tuple[str, ...]


MAP: Final = Kind("page.html", "map.css", ("map.js",))
FRAME: Final = Kind("frame.html", "frame.css", ("frame.js", "frame_tools.js", "frame_edit.js"))
_LINK: Final = re.compile(r'<script src="([^"]*)"></script>|<link rel="stylesheet" href="([^"]*)"\s*/?>')
_VIEWPORT: Final = re.compile(r'<meta (?:name="viewport"|http-equiv="content-type")[^>]*>')
_RANDOM_ID: Final = re.compile(r"\b([a-z][a-z_]*)_([0-9a-f]{32})(?![0-9a-f])")
_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_SLOT: Final = re.compile(r"<!--([a-z_]+)-->")


@dataclass(frozen=True)
class Drawing:
    """What Folium made: head, body and script, and the script's names for the map and its layers."""

    head: str
    body: str
    script: str
    names: Mapping[str, str]


def map_page(
    drawing: Drawing,
    texts: Mapping[str, str],
    data: Mapping[str, Any],
    *,
    kind: Kind = MAP,
    pictures: Sequence[str] = ("data:",),
) -> str:
    """The complete page, for a browser with no network.

    Parameters
    ----------
    drawing : Folium's parts; they hold no text of users.
    texts : HTML for the other slots of the kind's HTML, escaped already.
    data : what the kind's scripts show as text; put in after Folium and Jinja are done, so that no brace is compiled.
    pictures : where pictures may come from, as a content security policy names it.

    Raises
    ------
    OutputError : Folium links to a file that is not known here, or a library's file is missing.
    """
    drawing = _counted(drawing)
    slots = dict(texts) | {
        "folium_head": _inlined(_VIEWPORT.sub("", drawing.head)),
        "map": drawing.body,
        "style": _asset(kind.style),
        "data": json_block(dict(data) | {"names": dict(drawing.names)}),
        "scripts": "\n".join(map(_script, (drawing.script, *map(_asset, kind.scripts)))),
    }
    page = _SLOT.sub(lambda slot: slots[slot[1]] if slot[1] != "policy" else slot[0], _asset(kind.html))
    page = re.sub(r"\n\s*\n+", "\n", page.replace("\r\n", "\n"))
    return page.replace("<!--policy-->", _policy(page, pictures), 1)


def json_block(data: Any) -> str:
    r"""JSON that may stand inside a script tag: ASCII, without <, > and &.

    Examples
    --------
    >>> json_block({"name": "</script>"})
    '{"name":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def paragraphs(lines: list[str], *, css: str = "") -> str:
    """The lines as HTML paragraphs, escaped.

    Examples
    --------
    >>> paragraphs(["a < b"])
    '<p>a &lt; b</p>'
    """
    start = f'<p class="{css}">' if css else "<p>"
    return "\n".join(f"{start}{html.escape(line)}</p>" for line in lines)


def _counted(drawing: Drawing) -> Drawing:
    """Folium's random ids renamed to counters in order of appearance."""
    seen: dict[str, str] = {}

    def rename(text: str) -> str:
        return _RANDOM_ID.sub(lambda found: f"{found[1]}_{seen.setdefault(found[2], str(len(seen) + 1))}", text)

    head, body, script = rename(drawing.head), rename(drawing.body), rename(drawing.script)
    return Drawing(head, body, script, {key: rename(name) for key, name in drawing.names.items()})


def _inlined(head: str) -> str:
    def replace(link: re.Match[str]) -> str:
        address = link[1] or link[2]
        name = address.rsplit("/", 1)[-1]
        if name in _LIBRARIES:
            return _script(_library(name)) if link[1] else f"<style>\n{_library(name)}\n</style>"
        if any(part in address for part in _NOT_NEEDED):
            return ""
        raise OutputError(
            f"Folium links to {address}.",
            why="Map pages load nothing from a network.",
            todo="Install the Folium 0.20 line.",
        )

    return _LINK.sub(replace, head)


def _script(code: str) -> str:
    """The code in a script tag. An end tag can only stand in a string there, where an escaped slash is a slash."""
    return f"<script>{code.replace('</script', '<' + chr(92) + '/script')}</script>"


def _policy(page: str, pictures: Sequence[str]) -> str:
    """A content security policy: no request but for pictures, and only the page's own scripts, by their hashes."""
    digests = (hashlib.sha256(code.encode()).digest() for code in _SCRIPT.findall(page))
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests)
    nothing = "default-src 'none'; base-uri 'none'; form-action 'none'"
    rules = f"{nothing}; script-src {hashes}; style-src 'unsafe-inline'; img-src {' '.join(pictures)}"
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">'


@cache
def _asset(name: str) -> str:
    return resources("geomap.outputs").joinpath("assets", name).read_text(encoding="utf-8").strip()


@cache
def _library(name: str) -> str:
    """A library's file as text; pictures that a style sheet links to become data URLs, its source map is left out."""
    distribution, file_name = _LIBRARIES[name]
    path = _library_file(distribution, file_name)
    text = re.sub(r"\n?//# sourceMappingURL=.*", "", path.read_text(encoding="utf-8"))

    def picture(link: re.Match[str]) -> str:
        encoded = base64.b64encode((path.parent / link[1]).read_bytes()).decode("ascii")
        return f"url(data:image/png;base64,{encoded})"

    return re.sub(r"url\(([\w/.-]+\.png)\)", picture, text).strip()


def _library_file(distribution: str, name: str) -> Path:
    for file in files(distribution) or []:
        if file.name == name:
            return Path(str(file.locate()))
    raise OutputError(
        f"{distribution} has no file {name}.", why="Map pages carry it inside.", todo=f"Reinstall {distribution}."
    )
