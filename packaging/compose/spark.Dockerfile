# Spark from PyPI with Java from Debian, as `make cluster` starts it, and what executors need to read logs: the same Python and
# the same packages as the server. Hadoop's connector, by which Spark reads the store at s3://, comes from Maven at the first start.
FROM python:3.13-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless procps \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir "pyspark[connect]==4.2.0"
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir ".[object-store]"
COPY packaging/compose/spark-defaults.conf /usr/local/lib/python3.13/site-packages/pyspark/conf/
RUN useradd --uid 10001 --create-home spark
ENV PYSPARK_PYTHON=/usr/local/bin/python SPARK_NO_DAEMONIZE=1 PYTHONDONTWRITEBYTECODE=1
USER spark
WORKDIR /home/spark
EXPOSE 7077 15002
