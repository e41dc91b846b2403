FROM python:3.11-slim-bookworm

# By number, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 streamapp \
 && useradd --uid 10001 --gid 10001 --no-create-home streamapp \
 && install --directory --owner=10001 --group=10001 /var/lib/streamapp
WORKDIR /app

# Versions are those of constraints.txt, as in development and in the tests.
COPY pyproject.toml constraints.txt README.md ./
COPY streamapp ./streamapp
RUN pip install --no-cache-dir --constraint constraints.txt .

COPY topics ./topics
USER 10001:10001
# The state folder is all that it writes to, so the root file system can be read-only.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 STREAMAPP_STATE_FOLDER=/var/lib/streamapp
ENTRYPOINT ["streamapp"]
CMD ["--help"]
