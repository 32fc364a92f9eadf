# The book and JupyterLab, without libraries for GPUs:
#
#     docker build --tag ddpm-tutorial .
#     docker run --rm --publish 8888:8888 ddpm-tutorial
#
# The second line prints the address to open. The built book lies in _build/html.
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home reader
USER reader
WORKDIR /home/reader/ddpm-tutorial
COPY --chown=reader . .
RUN make book TORCH=cpu

EXPOSE 8888
CMD [".venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "book"]
