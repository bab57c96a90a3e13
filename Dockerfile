# One image for all five services; compose.yaml chooses which one runs.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN python -m venv /venv
# requirements-otel.lock where traces are wanted.
ARG LOCK=requirements.lock
COPY requirements.lock requirements-otel.lock ./
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r "$LOCK"
COPY . .
# Editable on purpose: the packages stay in /app and no wheel with these names ever exists.
# Compiled here, because the running container cannot write.
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && /venv/bin/python -m compileall -q /venv /app

FROM python:3.11-slim-bookworm
RUN install -d -o 10001 -g 10001 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001:10001
CMD ["python", "-m", "gateway.app"]
