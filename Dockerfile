# The course in a container: for education and research only, not for clinical or diagnostic use.
#
#   docker build -t mammogram-embeddings .
#   docker run --rm -p 127.0.0.1:8888:8888 -v my_lessons:/course/my_lessons mammogram-embeddings
#
# Then open the address with 127.0.0.1 that it prints. Another command takes the place of JupyterLab, on files of yours:
#
#   docker run --rm -v my_results:/course/results -v "$PWD/dicom:/dicom:ro" mammogram-embeddings \
#     .venv/bin/course embed /dicom -o results/mine
#
# It installs what everybody installs, by start.py: PyTorch for the CPU where its own index can be reached. It has not been
# built so far; tests/test_community.py only reads it. Please tell us what happens.

# What a development container starts from (.devcontainer/): it mounts a checkout, and installs into that.
FROM python:3.13-slim AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --shell /bin/bash learner
ENV PYTHONUTF8=1 PIP_NO_CACHE_DIR=1

FROM base AS course
LABEL org.opencontainers.image.title="From mammograms to embeddings: a course" \
      org.opencontainers.image.description="Educational and research use only. Not for clinical or diagnostic use. No medical decision may rely on these results." \
      org.opencontainers.image.licenses="MIT AND CC-BY-4.0"
# Made here so that volumes mounted on them belong to the learner, too.
RUN mkdir -p /course/my_lessons /course/results && chown -R learner:learner /course
USER learner
WORKDIR /course
COPY --chown=learner:learner . .
RUN python start.py setup
EXPOSE 8888
# JupyterLab asks for the token in the address that it prints. Listening on all addresses is what lets a container be
# reached at all; publish the port on 127.0.0.1, as above, and nobody else reaches it.
CMD ["python", "start.py", "lab", "--", "--no-browser", "--ip=0.0.0.0"]
