#!/bin/sh
# What the tests need beyond locks/dev.txt: Ray, obstore and an S3 server in Python, 0.4 GB.
# Where these cannot be had (a platform without wheels, no registry), their tests are skipped and say so.
.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r locks/cluster.txt ||
    echo "the tests of object stores and of Ray will be skipped: locks/cluster.txt cannot be installed" >&2
