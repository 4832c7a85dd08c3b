#!/bin/sh
# Measure every encoder on 8 Scenes in the ways that docs/evaluation.md lists, and record each in
# docs/results/evaluation/scenes8. Takes ten minutes on two cores.
#
#     scripts/measure-encoders.sh SCENES8
#
# SCENES8 is the folder of 8 Scenes, with mit_split.csv in it.
set -eu

scenes=$1
results=docs/results/evaluation/scenes8
mkdir -p "$results"

measure() { # NAME OPTION...
    name=$1
    shift
    lookalike evaluate "$scenes" --split "$scenes/mit_split.csv" "$@" --no-progress --output "$results/$name.json"
}

# --labels records the figures without labels as well.
for encoder in efficientnet-lite0-layers-int8 efficientnet-lite0-layers selfsup; do
    measure "$encoder" -e "$encoder" --labels
done
for encoder in efficientnet-lite0-layers-int8-160 efficientnet-lite0-layers-int8-128 efficientnet-lite0-int8 \
    efficientnet-lite0 patches histogram; do
    measure "$encoder" -e "$encoder"
done
measure hybrid -e hybrid:efficientnet-lite0-layers-int8=0.8+histogram=0.2
for encoder in efficientnet-lite0-layers-int8 efficientnet-lite0-layers efficientnet-lite0 histogram; do
    measure "$encoder--raw" -e "$encoder" --raw
done
for encoder in efficientnet-lite0-layers-int8 efficientnet-lite0-layers efficientnet-lite0; do
    measure "$encoder--no-blend" -e "$encoder" --no-blend
done
measure efficientnet-lite0-layers-int8--diffusion -e efficientnet-lite0-layers-int8 --order diffusion
