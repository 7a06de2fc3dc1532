"""Facts of maps that a run did not draw: of other classes, or of kinds drawn only on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.display.colour import hex_colours
from heatmaps_ome.display.rendering import Style, display_maps
from heatmaps_ome.display.scaling import Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit
from heatmaps_ome.viewers.notebook.map_facts import MapFacts

if TYPE_CHECKING:
    from heatmaps_ome.maps.heatmap_set import HeatmapSet


def facts_of_undrawn(heatmaps: HeatmapSet, kind: str, class_name: str | None) -> MapFacts:
    """Return the facts of a map of a slide, its colours fitted to this slide alone.

    Parameters
    ----------
    kind, class_name : str, str or None
        Of a map that the slide has.
    """
    fit = ScalingFit(Quantiles())
    fit.add(heatmaps)
    name = heatmaps.classes[0] if class_name is None else class_name
    maps = display_maps(
        heatmaps, fit.fit("", "", ""), Style(leave_one_out=True), (name,), true_class=name
    )
    [drawn] = [one for one in maps if (one.kind, one.class_name) == (kind, class_name)]
    return MapFacts.of({**drawn.facts(), "colours": hex_colours(drawn.colours[1:])})
