"""Tables and sentences of the comparison's report, as HTML; every text is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.maps.kinds import ATTENTION, CONTRIBUTION, SCORE
from heatmaps_ome.maps.numbers import number as number_text
from heatmaps_ome.maps.numbers import percent, probability
from heatmaps_ome.run.comparison.quantities import PERCENTILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NONE: Final = "–"


def number(value: float | None) -> str:
    """Return a number with three digits; a dash for what is unknown.

    >>> number(-0.12345), number(None), number(0.0)
    ('−0.123', '–', '0')
    """
    return _NONE if value is None else number_text(value)


def answer(value: float | None, are_probabilities: bool) -> str:
    """Return a prediction: a probability, or a value or risk; a dash for what is unknown."""
    return probability(value) if are_probabilities and value is not None else number(value)


def signed(value: float | None) -> str:
    """Return a difference with its sign."""
    text = number(value)
    return f"+{text}" if value is not None and value > 0 else text


def counted(count: int, one: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "slide"), counted(2, "slide")
    ('1 slide', '2 slides')
    """
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def head_part(record: Mapping[str, Any]) -> str:
    """Return what A and B are, and in which options they differ."""
    sides = "".join(
        f'<div class="card"><h2><span class="side {key}">{key.upper()}</span> '
        f"{escape(record[key]['name'])}</h2><dl>{_facts(record[key])}</dl></div>"
        for key in ("a", "b")
    )
    rows = [
        (escape(one["fact"]), _value(one["a"]), _value(one["b"])) for one in record["differing"]
    ]
    differing = (
        _table(("", "A", "B"), rows, "differing")
        if rows
        else '<p class="soft">The same model, extractor and options are recorded for both.</p>'
    )
    return (
        f'<div class="sides">{sides}<div class="card"><h2>What differs</h2>{differing}</div></div>'
    )


def _facts(side: Mapping[str, Any]) -> str:
    """Return the facts of a side as a list of terms."""
    created = side["created"]
    facts = {
        "slides": str(side["slides"]),
        "drawn hot": side["true_class"],
        "model": side["facts"].get("model"),
        "made": created and created.replace("T", " ").replace("+00:00", " UTC"),
    }
    return "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
        if value is not None
    )


def summary_part(record: Mapping[str, Any]) -> str:
    """Return the numbers over all slides."""
    summary = record["summary"]
    scales = {scale["map"]: scale for scale in record["scales"]}
    rows = [
        (
            escape(one["map"]), _of_all(one), number(one["pearson"]), number(one["spearman"]),
            signed(one["mean"]), number(one["mean_absolute"]), number(one["largest"]),
            f"±{number(scales[one['map']]['difference'])}", escape(one["unit"]),
        )
        for one in summary["maps"]
    ]  # fmt: skip
    heads = (
        "Map", "Slides", "Pearson", "Spearman", "Mean B − A", "Mean |B − A|", "Largest",
        "Colours to", "Unit",
    )  # fmt: skip
    table = _table(heads, rows, "maps", numbers=range(1, 8)) if rows else ""
    note = (
        '<p class="soft">Medians over slides; the largest difference is that of all cells. '
        "Contributions and evidence are times the slide's cells, as they are drawn.</p>"
    )
    sentences = "".join(f"<li>{escape(text)}</li>" for text in summary_sentences(summary))
    return (
        f'<section class="card" id="summary"><h2>All slides</h2><ul class="sentences">{sentences}'
        f"</ul>{table}{note}</section>"
    )


def _of_all(entry: Mapping[str, Any]) -> str:
    """Return the number of slides with a map, and of those without a correlation."""
    missing = entry["slides"] - entry["correlated"]
    return f"{entry['slides']} ({missing} undefined)" if missing else str(entry["slides"])


def summary_sentences(summary: Mapping[str, Any]) -> list[str]:
    """Return the main findings over all slides, as sentences."""
    failed = f", {summary['failed']} failed" if summary["failed"] else ""
    sentences = [f"{counted(summary['compared'], 'slide')} compared{failed}."]
    if summary["predicted"]:
        sentences.append(
            f"The predicted class differs on {summary['flips']} of "
            f"{counted(summary['predicted'], 'slide')}."
        )
    if summary["labelled"]:
        sentences.append(
            f"Right by the ground truth: A on {summary['right_a']}, B on {summary['right_b']} of "
            f"{summary['labelled']}; {summary['to_right']} wrong in A and right in B, "
            f"{summary['to_wrong']} right in A and wrong in B."
        )
    regions = [
        f"{kind} {number(dice)}" for kind, dice in summary["regions"].items() if dice is not None
    ]
    if regions:
        sentences.append(f"Regions in common (Dice, median): {', '.join(regions)}.")
    sentences += [
        f"{name}: the same in {percent(agree)} of the tissue (median)."
        for name, agree in summary["categories"].items()
        if agree is not None
    ]
    return sentences


def failures_part(record: Mapping[str, Any]) -> str:
    """Return the slides that failed, and those that only one folder has."""
    failed = [
        f"<li>{escape(one['name'])}: {escape(one['message'])}</li>"
        for one in record["slides"]
        if one["status"] != "done"
    ]
    parts = (
        [f'<div class="warning">Not compared:<ul>{"".join(failed)}</ul></div>'] if failed else []
    )
    for key in ("a", "b"):
        only = [
            escape(name) + (f": {escape(reason)}" if reason else "")
            for name, reason in record[f"only_{key}"].items()
        ]
        if only:
            listed = "".join(f"<li>{text}</li>" for text in only)
            parts.append(f'<div class="note">Only in {key.upper()}:<ul>{listed}</ul></div>')
    return "".join(parts)


def slides_table(record: Mapping[str, Any]) -> str:
    """Return the table of all slides, which the script makes sortable."""
    done = [(index, one) for index, one in enumerate(record["slides"]) if one["status"] == "done"]
    if not done:
        return ""
    maps = _main_maps(done[0][1])
    heads = (
        "Slide", "Ground truth", "Predicted in A", "Predicted in B", "P in A", "P in B", "B − A",
        *(f"r: {name}" for name in maps), "Hot regions", "Cold regions", "Top tiles", "Tissue",
    )  # fmt: skip
    rows = [_slide_row(index, one, maps) for index, one in done]
    columns = range(4, len(heads))
    about = (
        '<p class="soft">r: Pearson correlation over common tissue. Regions and tissue: Dice, 1 '
        "where they are the same. Top tiles: those of A that B has too. A ⚑ marks a prediction "
        "that flips. P: of the class drawn hot.</p>"
    )
    return (
        '<section class="card"><h2>Slides</h2>'
        f"{_table(heads, rows, 'slides', numbers=columns)}{about}</section>"
    )


def _main_maps(slide: Mapping[str, Any]) -> list[str]:
    """Return the maps whose correlations the table of slides has, of the class drawn hot."""
    own = [
        one
        for one in slide["maps"]
        if one["class"] in (None, slide["true_class"]) and one["form"] != PERCENTILE
    ]
    return [
        next(one["map"] for one in own if one["kind"] == kind)
        for kind in (SCORE, ATTENTION, CONTRIBUTION)
        if any(one["kind"] == kind for one in own)
    ]


def _slide_row(index: int, slide: Mapping[str, Any], maps: Sequence[str]) -> list[str]:
    """Return a slide's cells."""
    predictions, regions = slide["predictions"], slide["regions"]
    outputs = {one["output"]: one for one in predictions["outputs"]}
    hot = outputs.get(slide["true_class"], {"a": None, "b": None, "difference": None})
    correlations = {one["map"]: one["pearson"] for one in slide["maps"]}
    tiles = slide["tiles"]
    flag = " ⚑" if predictions["flips"] else ""
    common = f"{tiles['common']} of {tiles['tiles_a']}" if tiles else _NONE
    return [
        f'<a href="#slide-{index}">{escape(slide["name"])}</a>',
        escape(predictions["label"] or ""),
        _classes(predictions["predicted_a"], predictions["right_a"]),
        _classes(predictions["predicted_b"], predictions["right_b"]) + flag,
        *(answer(hot[key], predictions["probabilities"]) for key in ("a", "b")),
        signed(hot["difference"]),
        *(number(correlations.get(name)) for name in maps),
        *(number(regions[kind]["dice"]) if kind in regions else _NONE for kind in ("hot", "cold")),
        common,
        number(slide["tissue"]["dice"]),
    ]


def _classes(names: Sequence[str] | None, right: bool | None) -> str:
    """Return predicted classes, with a mark where the ground truth is another."""
    if names is None:
        return _NONE
    mark = "" if right is None else (" ✓" if right else " ✗")
    return escape(", ".join(names) or "none") + mark


def number_cards(slide: Mapping[str, Any]) -> str:
    """Return a slide's predictions, regions and tissue as small tables."""
    rows = [
        (
            escape(one["output"]),
            *(answer(one[key], slide["predictions"]["probabilities"]) for key in ("a", "b")),
            signed(one["difference"]),
        )
        for one in slide["predictions"]["outputs"]
    ]
    label = slide["predictions"]["label"]
    truth = f'<p class="soft">ground truth: {escape(label)}</p>' if label is not None else ""
    parts = [
        _card("Prediction", _table(("", "A", "B", "B − A"), rows, numbers=range(1, 4)) + truth)
        if rows
        else ""
    ]
    areas = [
        (f"{kind} regions", number(one["mm2_a"]), number(one["mm2_b"]), number(one["mm2_common"]),
         number(one["dice"]))
        for kind, one in slide["regions"].items()
    ]  # fmt: skip
    tissue = slide["tissue"]
    areas.append((
        "tissue", number(tissue["mm2_a"]), number(tissue["mm2_b"]), number(tissue["mm2_common"]),
        number(tissue["dice"]),
    ))  # fmt: skip
    heads = ("mm²", "A", "B", "both", "Dice")
    parts.append(_card("Areas", _table(heads, areas, numbers=range(1, 5)) + _cells_text(slide)))
    parts += [_card(escape(one["map"]), _confusion(one)) for one in slide["categories"]]
    return "".join(parts)


def _cells_text(slide: Mapping[str, Any]) -> str:
    """Return a sentence about the cells that were compared."""
    cells, count = slide["cells"], slide["tissue"]["cells_common"]
    own = [f"{number(size[1])} × {number(size[0])} µm" for size in (cells["um_a"], cells["um_b"])]
    text = f"{counted(count, 'common cell')} of {own[0]}"
    if not cells["same_grid"]:
        common = cells["um_common"]
        text = (
            f"cells of {own[0]} in A and {own[1]} in B, compared on {count} of "
            f"{number(common[1])} × {number(common[0])} µm"
        )
    return f'<p class="soft">{text}</p>'


def _confusion(entry: Mapping[str, Any]) -> str:
    """Return the cells of each pair of categories."""
    heads = ("A ↓ B →", *map(escape, entry["b"]))
    rows = [
        (escape(name), *map(str, counts))
        for name, counts in zip(entry["a"], entry["counts"], strict=True)
    ]
    agree = entry["agree"]
    text = "" if agree is None else f"the same in {percent(agree)} of the cells"
    table = _table(heads, rows, numbers=range(1, len(heads)))
    return f'{table}<p class="soft">{text}</p>'


def maps_table(slide: Mapping[str, Any]) -> str:
    """Return the numbers of all maps of a slide, and the maps that are not compared."""
    heads = ("Map", "Cells", "Pearson", "Spearman", "Mean B − A", "Mean |B − A|", "Largest",
             "at x, y (µm)", "Unit")  # fmt: skip
    rows = [_map_row(entry) for entry in slide["maps"]]
    rows += [
        _map_row({**entry, "differences": entry["raw"], "map": f"{entry['map']}, raw"})
        for entry in slide["maps"]
        if entry["raw"] is not None
    ]
    table = _table(heads, rows, numbers=range(1, 8)) if rows else ""
    left_out = "; ".join(f"{one['map']}: {one['reason']}" for one in slide["left_out"])
    note = f'<p class="soft">Not compared: {escape(left_out)}.</p>' if left_out else ""
    return f"<details><summary>All numbers of this slide</summary>{table}{note}</details>"


def _map_row(entry: Mapping[str, Any]) -> list[str]:
    """Return the cells of a map's row."""
    differences = entry["differences"]
    if differences is None:
        numbers = [_NONE] * 4
    else:
        largest = differences["largest"]
        place = f"{largest['x_um']:.0f}, {largest['y_um']:.0f}"
        numbers = [
            signed(differences["mean"]), number(differences["mean_absolute"]),
            signed(largest["difference"]), place,
        ]  # fmt: skip
    why = f' <span class="soft">{escape(entry["undefined"])}</span>' if entry["undefined"] else ""
    correlations = [number(entry["pearson"]), number(entry["spearman"])]
    return [
        escape(entry["map"]) + why, str(entry["cells"]), *correlations, *numbers,
        escape(entry["unit"]),
    ]  # fmt: skip


def _card(title: str, content: str) -> str:
    return f'<div class="card"><h3>{title}</h3>{content}</div>'


def _value(value: Any) -> str:
    """Return a recorded value as text."""
    return _NONE if value is None else escape(str(value))


def _table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    name: str = "",
    numbers: Iterable[int] = (),
) -> str:
    """Return a table of cells that are HTML already.

    Parameters
    ----------
    numbers : iterable of int
        The columns that are aligned right.
    """
    right = set(numbers)

    def cell(tag: str, index: int, text: str) -> str:
        kind = ' class="number"' if index in right else ""
        return f"<{tag}{kind}>{text}</{tag}>"

    head = "".join(cell("th", index, text) for index, text in enumerate(heads))
    body = "".join(
        f"<tr>{''.join(cell('td', index, text) for index, text in enumerate(row))}</tr>"
        for row in rows
    )
    own = f' id="{name}"' if name else ""
    return (
        f'<div class="scroll"><table{own}><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )
