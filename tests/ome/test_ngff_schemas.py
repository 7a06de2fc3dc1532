"""The NGFF specification's own schemas accept what create writes."""

import json
from importlib.metadata import PackageNotFoundError, files

import pytest
from broken_results import IMAGE, LABEL, VALUES, multiscale, shared_good_run

jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema, of the dev extra")
referencing = pytest.importorskip("referencing", reason="needs jsonschema, of the dev extra")

VERSIONS = ("0.4", "0.5")
BASE = "https://ngff.openmicroscopy.org"


def unique(validator, wanted, items, schema):
    """Refuse an array with two equal items, by their JSON: jsonschema compares each with each."""
    if wanted and validator.is_type(items, "array"):
        # To JSON, 1 and 1.0 are the same number; and 1 and true are not the same.
        plain = json.loads(json.dumps(items), parse_int=float)
        if len({json.dumps(each, sort_keys=True) for each in plain}) < len(items):
            yield jsonschema.ValidationError(f"{items!r} has non-unique elements")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"uniqueItems": unique})


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
    return Validator(known[name], registry=registry)


@pytest.fixture(scope="module", params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture(scope="module")
def result(version, tmp_path_factory):
    return shared_good_run(tmp_path_factory, version) / "a"


def attributes(store, version):
    """Return a store's attributes as they stand in its JSON."""
    if version == "0.4":
        return json.loads((store / ".zattrs").read_text("utf-8"))
    return json.loads((store / "zarr.json").read_text("utf-8"))["attributes"]


def labels_of(result):
    return sorted(each for each in (result / IMAGE / "labels").iterdir() if each.is_dir())


def test_the_schemas_are_those_of_the_specification(version):
    for name in ("image", "strict_image", "label", "strict_label"):
        assert schemas(version)[name]["$id"] == f"{BASE}/{version}/schemas/{name}.schema"


@pytest.mark.parametrize("schema", ["image", "strict_image"])
def test_the_specification_accepts_images_values_and_labels_as_images(result, version, schema):
    check = validator(version, schema)
    flats = sorted(result.glob("*.flat.ome.zarr"))
    stores = [result / IMAGE, result / VALUES, *labels_of(result), *flats]
    assert len(stores) > 10
    for store in stores:
        check.validate(attributes(store, version))


@pytest.mark.parametrize("schema", ["label", "strict_label"])
def test_the_specification_accepts_labels(result, version, schema):
    check = validator(version, schema)
    for store in labels_of(result):
        check.validate(attributes(store, version))


def test_the_schemas_refuse_what_they_should(result, version):
    said = attributes(result / IMAGE, version)
    del multiscale(said.get("ome", said))["metadata"]
    validator(version, "image").validate(said)
    with pytest.raises(jsonschema.ValidationError, match="metadata"):
        validator(version, "strict_image").validate(said)
    label = attributes(result / LABEL, version)
    label.get("ome", label)["image-label"]["colors"][1]["rgba"] = [0, 0, 256, 0]
    with pytest.raises(jsonschema.ValidationError, match="256"):
        validator(version, "label").validate(label)
    label = attributes(result / LABEL, version)
    colours = label.get("ome", label)["image-label"]["colors"]
    colours[2] = dict(reversed(colours[1].items()))
    with pytest.raises(jsonschema.ValidationError, match="non-unique"):
        validator(version, "label").validate(label)


def test_the_version_stands_once_in_each_group_of_0_5(tmp_path_factory):
    folder = shared_good_run(tmp_path_factory, "0.5") / "a"
    groups = [
        said["attributes"]
        for path in folder.rglob("zarr.json")
        if (said := json.loads(path.read_text("utf-8")))["node_type"] == "group"
        and path.parent.name != "OME"
    ]
    assert len(groups) > 10
    for said in groups:
        assert said["ome"]["version"] == "0.5"
        assert set(said) <= {"ome", "heatmaps_ome", "labels"}
        for entry in said["ome"].get("multiscales", []):
            assert "version" not in entry
