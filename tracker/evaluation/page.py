"""A self-contained HTML page: no script, no network, embedded pictures."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

Row = Sequence[object]

_STYLE = """
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;color:#1a1a1a;
 background:#fff;max-width:76rem;margin:2.5rem auto;padding:0 1.5rem}
h1{font-size:2rem;margin:0 0 .2rem;line-height:1.2}
h2{font-size:1.3rem;margin:2.6rem 0 .4rem;border-bottom:2px solid #0072b2;padding-bottom:.2rem}
h3{font-size:1rem;margin:1.4rem 0 .2rem}
p{max-width:52rem;margin:.4rem 0}
.about{color:#555}
.notice{background:#fdf3e0;border-left:4px solid #e69f00;padding:.5rem .9rem;max-width:52rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;margin:.6rem 0 1rem;
 border-top:2px solid #1a1a1a;border-bottom:2px solid #1a1a1a}
th,td{padding:.22rem .6rem;text-align:right}
th{font-weight:600;vertical-align:bottom;max-width:7rem}
td{white-space:nowrap}
thead tr:last-child th{border-bottom:1px solid #1a1a1a}
thead th[colspan]{text-align:center;max-width:none}
thead th[colspan]:not(:empty){border-bottom:1px solid #999}
tbody tr.first td,tbody tr.first th{border-top:1px solid #ccc}
tbody th,td.text,th.text{text-align:left}
td.text{font-weight:400}
img{display:block;max-width:100%;height:auto;margin:.4rem 0}
dt{font-weight:600;margin-top:.5rem}dd{margin:0 0 0 1.2rem;max-width:50rem}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}img,tr{break-inside:avoid}}
"""


def page(title: str, body: Iterable[str]) -> bytes:
    """Return a complete document.

    Args:
        title: of the page, plain text.
        body: HTML, from the functions below.
    """
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    parts = ["<!doctype html>", f'<html lang="en"><head>{head}<style>{_STYLE}</style></head><body>']
    return "\n".join([*parts, *body, "</body></html>", ""]).encode()


def heading(text: str, level: int = 2) -> str:
    """Return a heading of a plain text."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of a plain text; kind is "about", "notice" or empty."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def definitions(terms: Mapping[str, str]) -> str:
    """Return a list of terms with their definitions, plain texts."""
    return "<dl>" + "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in terms.items()) + "</dl>"


def image(kind: str, content: bytes, description: str) -> str:
    """Return an embedded picture.

    Args:
        kind: the subtype of its media type, such as "png" or "svg+xml".
        content: of the file.
        description: the alternative text.
    """
    data = base64.b64encode(content).decode()
    return f'<img src="data:image/{kind};base64,{data}" alt="{escape(description)}">'


def table(head: Row, rows: Iterable[Row], texts: int, over: Sequence[tuple[str, int]] = ()) -> str:
    """Return a table.

    Args:
        head: the titles of the columns.
        rows: the cells. A row whose first cell is empty continues the group above.
        texts: how many of the first columns are texts; the others are numbers.
        over: titles above the head, each with the number of columns that it spans.
    """
    lines = [_row("th", head, texts)]
    if over:
        lines.insert(0, "<tr>" + "".join(f'<th colspan="{span}">{escape(name)}</th>' for name, span in over) + "</tr>")
    body = (_row("td", row, texts, "first" if str(row[0]) else "") for row in rows)
    return f'<div class="wide"><table><thead>{"".join(lines)}</thead><tbody>{"".join(body)}</tbody></table></div>'


def _row(tag: str, cells: Row, texts: int, kind: str = "") -> str:
    marks = [' class="text"' if place < texts else "" for place in range(len(cells))]
    inner = "".join(f"<{tag}{mark}>{escape(str(cell))}</{tag}>" for mark, cell in zip(marks, cells))
    return f'<tr class="{kind}">{inner}</tr>' if kind else f"<tr>{inner}</tr>"


def number(value: Any, digits: int = 2) -> str:
    """Format a number: integers unchanged, a dash for an undefined value.

    Args:
        value: the number, or None.
        digits: decimals of a float.
    """
    if isinstance(value, int):
        return str(value)
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
