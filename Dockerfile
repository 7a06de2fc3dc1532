# Targets: devel (everything the tests need) and the final image (what users run).
#
#   docker build -t heatmaps-ome .
#   docker run --rm --gpus all \
#     -v /path/to/model:/model:ro -v /path/to/slides:/wsis:ro \
#     -v /path/to/cache:/cache -v /path/to/output:/output \
#     heatmaps-ome -t TRUE_CLASS /wsis/slide1.svs /wsis/slide2.svs
#
# /model holds export.pkl and, for RetCCL, best_ckpt.pth. Leave out --gpus all on hosts without one.

FROM python:3.11-slim-bookworm AS base
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1
WORKDIR /workspace
COPY pyproject.toml README.md LICENSE ./
COPY heatmaps_ome ./heatmaps_ome
COPY viewer_configs ./viewer_configs
RUN pip install .

FROM base AS devel
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN pip install --editable ".[dev]"
CMD ["python", "-m", "pytest"]

FROM base AS final
COPY scripts/create_heatmaps.py /usr/local/bin/create_heatmaps.py
# Not root: what the container writes should not be either.
RUN useradd --create-home --uid 1000 heatmaps \
    && mkdir -p /model /wsis /cache /output \
    && chown heatmaps /cache /output
USER heatmaps
# The reference found its weights in its working folder; ours are mounted beside the model.
WORKDIR /model
VOLUME ["/model", "/wsis", "/cache", "/output"]
ENTRYPOINT ["python", "/usr/local/bin/create_heatmaps.py", \
    "--model-path", "/model/export.pkl", \
    "--output-path", "/output", \
    "--cache-dir", "/cache"]
CMD ["--help"]
