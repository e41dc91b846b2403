FROM python:3.11-slim-bookworm

RUN useradd --system --create-home --uid 10001 streamapp
WORKDIR /app

# Versions are those of constraints.txt, as in development and in the tests.
COPY pyproject.toml constraints.txt README.md ./
COPY streamapp ./streamapp
RUN pip install --no-cache-dir --constraint constraints.txt .

COPY topics ./topics
USER streamapp
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["streamapp"]
CMD ["--help"]
