"""Where the weights of encoders lie: in the local caches of hubs, or at their authors'."""

from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from heatmaps_ome.errors import ExtractorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.extractors.recipe import Recipe

logger = logging.getLogger(__name__)

_HUB = "https://huggingface.co"


def where_from(recipe: Recipe) -> str:
    """Return the end of a sentence: where the weights are to be had, and how they are given."""
    weights = recipe.weights
    file = weights.files[0] if weights.files else "them"
    if weights.hub:
        page = f"{_HUB}/{weights.hub}"
        access = (
            f"ask for access at {page}, download {file} there"
            if weights.gated
            else (f"download {file} from {page}")
        )
        return f"{access} and give it with --extractor-weights"
    if weights.page or weights.url:
        return (
            f"download {file} from {weights.page or weights.url} and give it with "
            "--extractor-weights"
        )
    return "give the encoder's own file with --extractor-weights"


def find_weights(recipe: Recipe, *, download: bool) -> Path:
    """Return the file of weights in a local cache, or fetch it into one.

    Raises
    ------
    ExtractorError
        If no cache has it and it is not to be fetched, or cannot be.
    """
    cached = cached_weights(recipe)
    if cached is not None:
        logger.info("weights of %s: %s", recipe.title, cached)
        return cached
    if download:
        return _fetched(recipe)
    can_fetch = recipe.weights.hub or recipe.weights.url
    hint = ", or let --download fetch it" if can_fetch else ""
    raise ExtractorError(
        f"the extractor {recipe.name} needs its weights: {where_from(recipe)}{hint}"
    )


def cached_weights(recipe: Recipe, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of weights that a hub's client keeps on this machine, or None.

    Nothing is fetched, and no client is imported: the folders are those that huggingface_hub and
    torch.hub document.
    """
    places = [*_hub_places(recipe, environment), *_torch_places(recipe, environment)]
    return next((place for place in places if place.is_file()), None)


def _hub_places(recipe: Recipe, environment: Mapping[str, str]) -> list[Path]:
    """Return the files that huggingface_hub may have, of the newest version that it fetched.

    It notes no newest version of repositories that were fetched by a commit or copied without
    links; there, the only version counts, and of several none.
    """
    if not recipe.weights.hub:
        return []
    folder = _hub_cache(environment) / f"models--{recipe.weights.hub.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        versions = [path.name for path in folder.glob("snapshots/*")]
        commit = versions[0] if len(versions) == 1 else ""
    except (OSError, UnicodeDecodeError):
        return []
    if not commit.isalnum():
        return []
    return [folder / "snapshots" / commit / name for name in recipe.weights.files]


def _hub_cache(environment: Mapping[str, str]) -> Path:
    """Return huggingface_hub's cache, by the variables that it documents."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return Path(environment[name]).expanduser()
    home = environment.get("HF_HOME")
    return (Path(home).expanduser() if home else _cache(environment) / "huggingface") / "hub"


def _torch_places(recipe: Recipe, environment: Mapping[str, str]) -> list[Path]:
    """Return the files that torch.hub may have."""
    if not recipe.weights.url:
        return []
    home = environment.get("TORCH_HOME")
    folder = Path(home).expanduser() if home else _cache(environment) / "torch"
    return [folder / "hub" / "checkpoints" / recipe.weights.url.rsplit("/", 1)[-1]]


def _cache(environment: Mapping[str, str]) -> Path:
    """Return the user's folder for caches."""
    return Path(environment.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


def _fetched(recipe: Recipe) -> Path:
    """Return the file of weights, fetched into the cache of its hub.

    Raises
    ------
    ExtractorError
        If it cannot be fetched.
    """
    weights = recipe.weights
    if weights.hub:
        return _fetched_from_hub(recipe)
    if not weights.url:
        raise ExtractorError(
            f"--download: the weights of {recipe.name} are in no hub; {where_from(recipe)}"
        )
    from torch import hub

    [place] = _torch_places(recipe, os.environ)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        hub.download_url_to_file(weights.url, str(place), progress=False)
    except OSError as error:
        raise ExtractorError(
            f"--download: {weights.url} cannot be fetched ({error}); {where_from(recipe)}"
        ) from error
    return place


def _fetched_from_hub(recipe: Recipe) -> Path:
    """Return the file of weights, fetched by huggingface_hub."""
    try:
        client = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise ExtractorError(
            f"--download needs huggingface_hub: pip install 'heatmaps-ome[encoders]'; or "
            f"{where_from(recipe)}"
        ) from error
    problem: Exception | None = None
    for name in recipe.weights.files:
        try:
            return Path(client.hf_hub_download(recipe.weights.hub, name))
        except client.errors.EntryNotFoundError as error:
            problem = error
        except client.errors.GatedRepoError as error:
            raise ExtractorError(
                f"--download: {recipe.weights.hub} is gated: ask for access at "
                f"{_HUB}/{recipe.weights.hub}, then log in with hf auth login or set HF_TOKEN; "
                f"or {where_from(recipe)}"
            ) from error
        except (OSError, ValueError, client.errors.HfHubHTTPError) as error:
            problem = error
            break
    reason = " ".join(str(problem).split())[:200]
    raise ExtractorError(
        f"--download: {recipe.weights.hub} cannot be fetched ({reason}); {where_from(recipe)}"
    ) from problem
