"""The NGFF specification's own schemas accept what create writes."""

import json
from importlib.metadata import PackageNotFoundError, files

import pytest
from broken_results import IMAGE, LABEL, VALUES, multiscale, shared_good_run

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema, of the dev extra")
referencing = pytest.importorskip("referencing", reason="needs jsonschema, of the dev extra")

VERSIONS = ("0.4",)
BASE = "https://ngff.openmicroscopy.org"


def schemas(version):
    """Return the schemas of a version by their names, as ngff-zarr carries them."""
    try:
        found = files("ngff-zarr") or []
    except PackageNotFoundError:
        pytest.skip("needs ngff-zarr, of the dev extra, for the specification's schemas")
    folder = f"ngff_zarr/spec/{version}/schemas/"
    return {
        path.name.removesuffix(".schema"): json.loads(path.read_text("utf-8"))
        for path in found
        if path.as_posix().startswith(folder) and path.name.endswith(".schema")
    }


def validator(version, name):
    known = schemas(version)
    registry = referencing.Registry().with_resources(
        (each["$id"], referencing.jsonschema.DRAFT202012.create_resource(each))
        for each in known.values()
    )
    return jsonschema.Draft202012Validator(known[name], registry=registry)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return shared_good_run(tmp_path_factory) / "a"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_are_those_of_the_specification(version):
    for name in ("image", "strict_image", "label", "strict_label"):
        assert schemas(version)[name]["$id"] == f"{BASE}/{version}/schemas/{name}.schema"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("schema", ["image", "strict_image"])
def test_the_specification_accepts_images_values_and_labels_as_images(result, version, schema):
    check = validator(version, schema)
    stores = [result / IMAGE, result / VALUES, *sorted((result / IMAGE / "labels").glob("*/"))]
    assert len(stores) > 5
    for store in stores:
        check.validate(json.loads((store / ".zattrs").read_text("utf-8")))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("schema", ["label", "strict_label"])
def test_the_specification_accepts_labels(result, version, schema):
    check = validator(version, schema)
    for store in sorted((result / IMAGE / "labels").glob("*/")):
        check.validate(json.loads((store / ".zattrs").read_text("utf-8")))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_refuse_what_they_should(result, version):
    said = json.loads((result / IMAGE / ".zattrs").read_text("utf-8"))
    del multiscale(said)["metadata"]
    validator(version, "image").validate(said)
    with pytest.raises(jsonschema.ValidationError, match="metadata"):
        validator(version, "strict_image").validate(said)
    label = json.loads((result / LABEL / ".zattrs").read_text("utf-8"))
    label["image-label"]["colors"][1]["rgba"] = [0, 0, 256, 0]
    with pytest.raises(jsonschema.ValidationError, match="256"):
        validator(version, "label").validate(label)
