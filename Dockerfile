# One image for servers, workers, stores and migrations: what a container is, its command says.
# Build: docker build --tag alphaswarm:0.1.0 .      Run: alphaswarm topology render compose
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /source
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/alphaswarm
ENV PATH=/opt/alphaswarm/bin:$PATH
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY auth auth
COPY clients clients
COPY lakehouse lakehouse
COPY ledger ledger
COPY runtimes runtimes
COPY servers servers
COPY tools tools
COPY topology topology
RUN pip install --constraint requirements.lock . && python -m compileall -q /opt/alphaswarm

FROM python:${PYTHON}
COPY --from=build /opt/alphaswarm /opt/alphaswarm
# The home belongs to the user before a volume is laid over it: a new named volume takes it over.
RUN groupadd --gid 10001 alphaswarm \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin alphaswarm \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/alphaswarm
ENV PATH=/opt/alphaswarm/bin:$PATH \
    ALPHASWARM_HOME=/var/lib/alphaswarm \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/alphaswarm
STOPSIGNAL SIGTERM
CMD ["python", "-m", "servers"]
