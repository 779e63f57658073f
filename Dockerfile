# detectorkit without anything else: no compiler, no network at run time, nothing to write to.
#
#   docker build -t detectorkit .
#   docker run --rm --read-only --tmpfs /tmp --network none -v "$PWD:/data:ro" detectorkit predict .

FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY detectorkit detectorkit
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .
ARG EXTRAS=serve
RUN python -m venv /opt/detectorkit \
    && /opt/detectorkit/bin/python -m pip install --no-cache-dir "$(ls /wheel/*.whl)[$EXTRAS]"

FROM python:3.12-slim
COPY --from=build /opt/detectorkit /opt/detectorkit
ENV PATH=/opt/detectorkit/bin:$PATH PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /data
USER 65532:65532
ENTRYPOINT ["detectorkit"]
CMD ["--help"]
