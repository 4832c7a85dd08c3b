#!/bin/sh
# What the tests need beyond Python packages. Nothing yet: every bad file and every picture is built by the tests.
exit 0
