# Targets: devel (everything the tests need) and the final image (what users run).
#
#   docker build -t heatmaps-ome .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" \
#     -v /path/to/model:/model:ro -v /path/to/slides:/wsis:ro -v /path/to/output:/output \
#     heatmaps-ome -t TRUE_CLASS /wsis/slide1.svs /wsis/slide2.svs
#
# /model holds export.pkl and, for RetCCL, best_ckpt.pth. Leave out --gpus all on hosts without one.
# scripts/README.md has the rest: commands, users, limits, an image without CUDA.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE} AS base
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1
WORKDIR /workspace
# The dependencies, some GB, are a layer of their own: a change of the code leaves it as it is.
ARG TORCH_INDEX=""
ARG EXTRAS="parquet,cluster,cloud"
COPY pyproject.toml scripts/list_dependencies.py ./
RUN python list_dependencies.py pyproject.toml "${EXTRAS}" > requirements.txt \
    && if [ -n "${TORCH_INDEX}" ]; then pip install --index-url "${TORCH_INDEX}" torch; fi \
    && pip install --requirement requirements.txt

FROM base AS wheel
COPY README.md LICENSE ./
COPY heatmaps_ome ./heatmaps_ome
COPY viewer_configs ./viewer_configs
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM base AS devel
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/*
COPY . .
RUN pip install --editable ".[dev]"
CMD ["python", "-m", "pytest"]

FROM base AS final
LABEL org.opencontainers.image.title="heatmaps-ome" \
    org.opencontainers.image.description="Viewer-ready heatmaps of attention-MIL models on whole-slide images" \
    org.opencontainers.image.licenses="MIT"
# A user without name, home and rights: any other does as well (docker run --user). Libraries keep
# their caches below HOME, such as matplotlib's of fonts, and ask for a user's name. New volumes
# belong to the owner of the folder that they are mounted at.
ENV HOME=/tmp \
    LOGNAME=heatmaps
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl \
    && mkdir /model /wsis /cache /output \
    && chown 1000:1000 /cache /output
COPY scripts/create_heatmaps.py scripts/run_in_container.py /usr/local/bin/
USER 1000:1000
# The reference found its weights in its working folder; ours are mounted beside the model.
WORKDIR /model
ENTRYPOINT ["python", "/usr/local/bin/run_in_container.py"]
CMD ["--help"]
