#!/bin/sh
# What the tests need beyond Python packages: Debian's Chromium, in which the page is tested. Bad files and pictures are
# built by the tests. Where nothing may be installed, the tests in a browser are skipped, and say so.
set -u
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
