"""Options of ``extractors``."""

from dataclasses import dataclass, field

from heatmaps_ome.options.bounds import require_sound
from heatmaps_ome.options.fields import option


@dataclass(frozen=True)
class ExtractorsOptions:
    """Options of ``heatmaps-ome extractors``."""

    extractors: tuple[str, ...] = field(
        default=(),
        metadata={
            "args": ["extractors"],
            "group": "inputs",
            "type": str,
            "nargs": "*",
            "metavar": "NAME",
            "help": "encoders to describe, each with its sources and the command to use it "
            "(default: a table of all)",
        },
    )
    json: bool = option("outputs", "print the facts as JSON", default=False)

    def __post_init__(self) -> None:
        """Refuse values that no run can use."""
        require_sound(self)
        if not all(self.extractors):
            raise ValueError("NAME is empty; leave it out to have all encoders listed")
