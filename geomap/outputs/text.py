"""Text from files outside on its way to a page, a map or a table: shown as text, never run."""

import html
import math
import re
import unicodedata
from typing import Any, Final

_NOT_SHOWN: Final = re.compile(
    "[\u200b\u200e\u200f\u061c\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"  # marks that turn or hide what follows
)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CONTROL_SIGN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BREAKS: Final = "\n\r\t\u2028\u2029"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_TEMPLATE_SIGNS: Final = {ord(sign): f"&#{ord(sign)};" for sign in "{}`$\\"}


def plain(text: Any, *, limit: int | None = None) -> str:
    r"""The text as it may be shown: composed (NFC), without control characters and marks that reorder or hide text.

    A missing value (None, NaN) is "". Line breaks and tabs become one space. Longer text is cut at `limit` characters,
    the last of them "…".

    Examples
    --------
    >>> plain("Ana\u202e gnp.exe\x00")
    'Ana gnp.exe'
    >>> plain("Rosa Mejía", limit=5), plain(float("nan"))
    ('Rosa…', '')
    """
    if text is None or (isinstance(text, float) and math.isnan(text)):
        return ""
    cleaned = _SURROGATE.sub("\ufffd", _NOT_SHOWN.sub("", str(text)))
    cleaned = unicodedata.normalize("NFC", _CONTROL.sub(" ", cleaned)).strip()
    return cleaned if limit is None or len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def map_text(text: Any) -> str:
    """The only way from user text to Folium: HTML that no template, script literal or tag can be made of.

    Folium compiles each string twice as a Jinja template and puts it into HTML and into JavaScript literals. So beside
    `html.escape` the signs of templates and literals and every line break become numeric entities.

    Examples
    --------
    >>> map_text("{{ 7*191 }} <b>")
    '&#123;&#123; 7*191 &#125;&#125; &lt;b&gt;'
    """
    lines = str(text).replace("\r\n", "\n")
    escaped = html.escape(_SURROGATE.sub("\ufffd", lines), quote=True).translate(_TEMPLATE_SIGNS)
    return _CONTROL_SIGN.sub(lambda sign: f"&#{ord(sign[0])};" if sign[0] in _BREAKS else " ", escaped)


def csv_text(value: Any) -> Any:
    """A cell for CSV: text that a spreadsheet would read as a formula gets a leading apostrophe; all else stays.

    Source: OWASP, CSV Injection. For text columns only; numbers pass unchanged, so -1.5 stays a number.

    Examples
    --------
    >>> csv_text("=1+1"), csv_text("+254700"), csv_text("Ana"), csv_text(-1.5)
    ("'=1+1", "'+254700", 'Ana', -1.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
