"""Labelled collections: folders of classes, fixed splits, labels, and two collections to try Lookalike on."""
