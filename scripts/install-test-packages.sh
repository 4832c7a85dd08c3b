#!/bin/sh
# What the tests need beyond locks/dev.txt: Ray, obstore and an S3 server in Python (0.4 GB), and Debian's Chromium, in
# which the page is tested. What cannot be had here (no wheel, no registry, not root) is named, and its tests are skipped.
set -u

.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r locks/cluster.txt ||
    echo "locks/cluster.txt cannot be installed: the tests of object stores and of Ray are skipped" >&2

for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "no Chromium here, and no way to install it: the tests of the page in a browser are skipped" >&2
    exit 0
fi
echo "installing chromium, for the tests of the page in a browser" >&2
install() { apt-get -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends install chromium >/dev/null; }
export DEBIAN_FRONTEND=noninteractive
install || { apt-get -o DPkg::Lock::Timeout=300 -qq update && install; } ||
    echo "chromium cannot be installed: the tests of the page in a browser are skipped" >&2
exit 0
