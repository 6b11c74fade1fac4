# Retort with all that it calls, for linux/amd64. How to build it, also bit for bit: CONTRIBUTING.md, "The image".
#
# BASE may be pinned further, by digest: --build-arg BASE=debian@sha256:...
ARG BASE=debian:bookworm-20250520-slim

FROM ${BASE} AS system
ARG SOURCE_DATE_EPOCH=1747699200
# "snapshot": packages as of the day that the base was made, from the archive that the base's own list of
# sources names in its comments. "current": as of today.
ARG PACKAGES=snapshot
RUN set -eu; \
    if [ "$PACKAGES" = snapshot ] && [ -f /etc/apt/sources.list.d/debian.sources ]; then \
        sed -i -E '/^# http/ { N; s/^# (\S+)\nURIs: .*/URIs: \1/ }' /etc/apt/sources.list.d/debian.sources; \
    fi; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 -o APT::Sandbox::User=root update; \
    apt-get -o APT::Sandbox::User=root install -y --no-install-recommends \
        fpga-icestorm g++ make python3 python3-venv; \
    groupadd --gid 1000 retort; \
    useradd --uid 1000 --gid 1000 --create-home --shell /bin/sh retort; \
    install -d -o retort -g retort /work; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/* /var/cache/debconf/*-old \
        /var/lib/dpkg/*-old /var/log/* /etc/*- /tmp/*

FROM system AS build
ARG SOURCE_DATE_EPOCH=1747699200
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements.lock ./
# The secrets are for networks that ask for them: a configuration of pip, and a certificate that it may name.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.crt \
    python3 -m venv /opt/retort \
    && /opt/retort/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY hw hw
COPY models models
COPY pipeline pipeline
# Byte code that holds a hash of its source in place of a date; one process, so that it is the same each time.
RUN /opt/retort/bin/pip install --no-deps --no-build-isolation . \
    && find /opt/retort -name '*.pyc' -delete \
    && { /opt/retort/bin/python -m compileall -q -f -j 1 --invalidation-mode unchecked-hash \
         /opt/retort/lib > /dev/null || true; }

FROM system
COPY --from=build /opt/retort /opt/retort
COPY builds /src/builds
ENV PATH=/opt/retort/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
USER retort
WORKDIR /work
ENTRYPOINT ["retort"]
CMD ["--help"]
