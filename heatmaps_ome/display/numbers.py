"""Numbers for people, as everything above the raw maps writes them; see `maps.numbers`."""

from __future__ import annotations

from heatmaps_ome.maps.numbers import is_next_to_nothing as is_next_to_nothing
from heatmaps_ome.maps.numbers import is_probability as is_probability
from heatmaps_ome.maps.numbers import number as number
from heatmaps_ome.maps.numbers import percent as percent
from heatmaps_ome.maps.numbers import predicted_text as predicted_text
from heatmaps_ome.maps.numbers import probability as probability
