"""Pieces of HTML for notebooks; every text is escaped, and pictures are in the page itself."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

from heatmaps_ome.exporters.figures.captions import RESEARCH
from heatmaps_ome.maps.numbers import predicted_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def block(*parts: str) -> str:
    """Return pieces of HTML as one, with the notice below."""
    return f"<div>{''.join(parts)}<p><small>{RESEARCH}</small></p></div>"


def paragraph(text: str, *, bold: bool = False) -> str:
    """Return a text as a paragraph.

    >>> paragraph("a <b> class")
    '<p>a &lt;b&gt; class</p>'
    """
    inner = f"<strong>{escape(text)}</strong>" if bold else escape(text)
    return f"<p>{inner}</p>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return texts as a table."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def picture(data: bytes, kind: str, description: str) -> str:
    """Return a picture, given as the bytes of a "png" or "jpeg" file."""
    encoded = base64.b64encode(data).decode("ascii")
    source = f"data:image/{kind};base64,{encoded}"
    return f'<img src="{source}" alt="{escape(description)}" style="max-width:100%" />'


def answer(value: float | None, target: Mapping[str, Any]) -> str:
    """Return a prediction for people; nothing for a slide without tissue.

    Parameters
    ----------
    target : mapping
        The `Target.record` of what is predicted.

    >>> answer(0.99852, {}), answer(None, {}), answer(float("nan"), {})
    ('0.99852', '', '')
    """
    return "" if value is None or value != value else predicted_text(value, target)
