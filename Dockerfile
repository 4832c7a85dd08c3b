# The page and the HTTP API of a gallery (`lookalike serve`), for a server in a trusted network:
#
#   docker build -t lookalike .
#   docker run --rm -v ~/Pictures:/photos:ro -v lookalike:/gallery lookalike index /photos -i /gallery
#   docker run -d -p 127.0.0.1:8765:8765 -e LOOKALIKE_TOKEN=$(openssl rand -hex 16) \
#     -v ~/Pictures:/photos:ro -v lookalike:/gallery lookalike
#
# A container is only reached at another address than 127.0.0.1, for which `serve` insists on a token. The connection is
# not encrypted: put a proxy that speaks HTTPS in front of it (docs/web.md).
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --wheel-dir /wheels ".[web,heic,watch]"

FROM python:3.12-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels "lookalike[web,heic,watch]" \
    && useradd --create-home lookalike \
    && install -d -o lookalike -g lookalike /gallery
USER lookalike
VOLUME /gallery
EXPOSE 8765
HEALTHCHECK CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8765/healthz')"]
ENTRYPOINT ["lookalike"]
CMD ["serve", "-i", "/gallery", "--host", "0.0.0.0", "--no-open"]
