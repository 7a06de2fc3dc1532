"""The scaling.json that earlier versions wrote, made of the present one."""

_KINDS = {
    "attention": "attention",
    "scores": "score",
    "contributions": "contribution",
    "leave_one_out": "leave-one-out",
    "spread": "sd-score",
    "margins": "margin",
}
_ABSENT = {1: {"leave_one_out", "spread", "margins"}, 2: {"spread", "margins"}, 3: set()}


def in_an_earlier_format(said: dict, number: int) -> dict:
    """Return the JSON values of format 1 to 5 for those of the present one."""
    if number in (4, 5):
        return {**said, "format": f"heatmaps-ome scaling {number}"}
    others = {key: value for key, value in said.items() if key not in ("format", "ranges")}
    ranges = {
        key: said["ranges"].get(kind, [])
        for key, kind in _KINDS.items()
        if key not in _ABSENT[number]
    }
    ranges["attention"] = ranges["attention"][0]
    return {"format": f"heatmaps-ome scaling {number}", **others, **ranges}
