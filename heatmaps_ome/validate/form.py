"""Forms of JSON objects: how a file differs from one, and the types that forms are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

if TYPE_CHECKING:
    from collections.abc import Iterator

Text = Annotated[str, Field(min_length=1)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Count = Annotated[int, Field(ge=0)]
Length = Annotated[int, Field(ge=1)]
Number = float
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]
Mpp = Annotated[float, Field(gt=0, le=100)]
Lengths = Annotated[list[Length], Field(min_length=2, max_length=2)]
Places = Annotated[list[Number], Field(min_length=2, max_length=2)]
Sides = Annotated[list[Positive], Field(min_length=2, max_length=2)]
Mpps = Annotated[list[Mpp], Field(min_length=2, max_length=2)]
Shares = dict[str, Share | None]
Classes = list[Text]
Numbers = dict[str, Number | None]


class Form(BaseModel):
    """A JSON object: no field is converted from another type, and others are allowed."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)


class Ends(Form):
    """The values at both ends of a range."""

    lower: Number
    upper: Number

    @model_validator(mode="after")
    def _ordered(self) -> Ends:
        if self.lower > self.upper:
            raise ValueError(f"it reaches from {self.lower:g} down to {self.upper:g}")
        return self


def faults_of(content: Any, form: type[Form]) -> Iterator[str]:
    """Yield how a JSON object differs from a form, a sentence each."""
    try:
        form.model_validate(content)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            place = ".".join(map(str, fault["loc"])) or "it"
            if fault["type"] == "missing":
                yield f"{place} is missing"
            else:
                yield f"{place} is {_short(fault['input'])}: {fault['msg']}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
