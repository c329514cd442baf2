# --- build: hash-locked packages and the project's wheel in /app -------------------------------------------------
FROM python:3.12-slim AS build
ENV PIP_CACHE_DIR=/cache/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    UV_CACHE_DIR=/cache/uv \
    UV_LINK_MODE=copy
WORKDIR /src

# `otel` has what `tracing.endpoint` needs besides
ARG REQUIREMENTS=runtime
COPY requirements/build.txt requirements/${REQUIREMENTS}.txt requirements/
RUN --mount=type=cache,target=/cache \
    python -m venv /tools \
 && /tools/bin/pip install --quiet --require-hashes -r requirements/build.txt \
 && python -m venv --without-pip /app \
 && /tools/bin/uv pip install --quiet --python /app/bin/python --require-hashes --only-binary :all: \
    -r requirements/${REQUIREMENTS}.txt

COPY pyproject.toml README.md LICENSE ./
COPY migrations/ migrations/
COPY replicator/ replicator/
RUN --mount=type=cache,target=/cache \
    /tools/bin/hatchling build --target wheel --directory /dist \
 && /tools/bin/uv pip install --quiet --python /app/bin/python --no-deps /dist/*.whl \
 && rm -f /app/.lock \
 # not judged by times, which copying between stages may round: nothing is compiled anew at each start
 && /app/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/lib

# --- the Lambda function: `--target lambda`; the configuration is added as /var/task/replicator.yaml ----------------
FROM build AS function
COPY requirements/lambda-image.txt requirements/
RUN --mount=type=cache,target=/cache \
    /tools/bin/uv pip install --quiet --target /function --require-hashes --only-binary :all: \
    -r requirements/lambda-image.txt \
 && /tools/bin/uv pip install --quiet --target /function --no-deps /dist/*.whl \
 && rm -rf /function/bin /function/.lock

FROM python:3.12-slim AS lambda
ARG REVISION=unknown
LABEL org.opencontainers.image.title="replicator-lambda" \
      org.opencontainers.image.description="Applies streams of DynamoDB to PostgreSQL as an AWS Lambda function" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip
COPY --from=function /function /var/task
ENV PYTHONPATH=/var/task \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    REPLICATOR_CONFIG=/var/task/replicator.yaml
WORKDIR /var/task
USER 10001:10001
# Lambda looks after its environments by itself
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "awslambdaric"]
CMD ["replicator.lambda_handler.handler"]

# --- what runs: no compiler, no installer, nothing to write -------------------------------------------------------
FROM python:3.12-slim AS daemon
ARG REVISION=unknown
LABEL org.opencontainers.image.title="replicator" \
      org.opencontainers.image.description="Keeps PostgreSQL tables equal to DynamoDB tables" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    REPLICATOR_HTTP__HOST=0.0.0.0
# the configuration is looked for here: mount it as /etc/replicator/replicator.yaml
WORKDIR /etc/replicator
USER 10001:10001
EXPOSE 8080
# a port other than 8080 is to be set by REPLICATOR_HTTP__PORT, or this looks in the wrong place
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('REPLICATOR_HTTP__PORT', '8080') + '/healthz', timeout=4)"]
ENTRYPOINT ["replicator"]
CMD ["run"]
