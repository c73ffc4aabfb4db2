# One image for all processes: the command is a line of the Procfile. It runs as an unprivileged user and writes only to
# /tmp (start it with --read-only --tmpfs /tmp).
FROM python:3.11-slim AS build
COPY requirements.lock .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

FROM python:3.11-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DEBUG=0 PORT=8000 RELAY_IN_WEB=0 GRANIAN_HOST=0.0.0.0
RUN useradd --system --uid 10001 ccweb
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py Procfile ./
COPY ccweb ccweb
COPY actions actions
COPY segments segments
COPY visits visits
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s \
    CMD python -c "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=2)"
CMD ["python", "-m", "ccweb.embedded.supervisor", "web"]
