# A server over HTTP for folders that are mounted at /experiments, read-only:
#   docker build -t sweeplens .
#   docker run --rm --read-only --tmpfs /tmp -v sweeplens-cache:/cache -v "$PWD/experiments:/experiments:ro" \
#     -e SWEEPLENS_TOKENS="me SECRET" -p 127.0.0.1:8917:8917 sweeplens
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
# Extras of the installation, as in --build-arg EXTRAS="[object-store,spark]".
ARG EXTRAS=""
RUN python -m venv /opt/sweeplens && /opt/sweeplens/bin/pip install --no-cache-dir ".${EXTRAS}"

FROM python:3.13-slim
COPY --from=build /opt/sweeplens /opt/sweeplens
RUN useradd --system --uid 10001 --no-create-home sweeplens && install -d -o sweeplens -m 0700 /cache
ENV PATH=/opt/sweeplens/bin:$PATH ANALYSIS_CACHE_DIR=/cache PYTHONDONTWRITEBYTECODE=1
# A name, so that `docker exec ... whoami` answers; this image makes the user itself.
# hadolint ignore=DL3066
USER sweeplens
VOLUME /cache
EXPOSE 8917
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8917/healthz', timeout=4)"]
ENTRYPOINT ["sweeplens"]
CMD ["serve", "--http", "--host", "0.0.0.0", "--root", "/experiments"]
