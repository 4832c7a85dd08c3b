#!/bin/sh
# Check the types that the comments of the page's scripts declare, with the TypeScript of package-lock.json, which is put
# into .venv. Where there is no npm, nothing is checked, and that is said.
set -eu
if ! command -v npm >/dev/null 2>&1; then
    echo "no npm here: the types in the scripts of the page are not checked" >&2
    exit 0
fi
place=.venv/types
if ! cmp -s scripts/types/package-lock.json "$place/package-lock.json"; then
    mkdir -p "$place"
    cp scripts/types/package.json "$place/"
    cp scripts/types/package-lock.json "$place/new.json"
    mv "$place/new.json" "$place/package-lock.json"
    npm ci --silent --no-audit --no-fund --prefix "$place" || {
        rm -f "$place/package-lock.json"
        echo "TypeScript cannot be installed: the types in the scripts of the page are not checked" >&2
        exit 0
    }
fi
exec "$place/node_modules/.bin/tsc" --project scripts/types
