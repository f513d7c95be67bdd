# ptocr on a CPU, as a server: docker build -t ptocr . && docker run --rm -p 8080:8080 ptocr
# One command instead: docker run --rm -v "$PWD:/data" ptocr ocr /data/page.jpg --output /data/page.md
FROM python:3.11-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 VIRTUAL_ENV=/opt/ptocr PATH=/opt/ptocr/bin:$PATH
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY constraints.txt ./
# torch in a layer of its own: it changes rarely and is most of the image
RUN uv venv /opt/ptocr && uv pip install --torch-backend=cpu -c constraints.txt torch
COPY pyproject.toml setup.py README.md LICENSE NOTICE ./
COPY ptocr ptocr
COPY configs configs
RUN uv pip install --torch-backend=cpu -c constraints.txt '.[serve]'

FROM python:3.11-slim-bookworm
ENV PATH=/opt/ptocr/bin:$PATH PTOCR_HOME=/cache PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 ptocr && install -d -o ptocr /cache /data
COPY --from=build /opt/ptocr /opt/ptocr
USER 1000
WORKDIR /data
# weights are fetched on first use and kept here; mount a volume to keep them longer than the container
VOLUME /cache
EXPOSE 8080
ENTRYPOINT ["ptocr"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
