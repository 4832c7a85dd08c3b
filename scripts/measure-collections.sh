#!/bin/sh
# Measure encoders on the collections below SETS and on 8 Scenes, adapted and raw, and record each in
# docs/results/evaluation.
#
#     scripts/measure-collections.sh SETS SCENES8 [ENCODER...]
#
# SETS has a folder for each collection; SCENES8 is the folder of 8 Scenes, with mit_split.csv in it.
set -eu

sets=$1 scenes=$2
shift 2
[ $# -gt 0 ] || set -- efficientnet-lite0-layers-int8 efficientnet-lite0-int8 efficientnet-lite0-layers-int8-160 \
    efficientnet-lite0-layers-int8-128 efficientnet-lite0-layers efficientnet-lite0
mkdir -p docs/results/evaluation
for encoder; do
    for way in "" --raw; do
        lookalike evaluate "$scenes" "$sets"/*/ -e "$encoder" --split "$scenes=$scenes/mit_split.csv" $way \
            --output "docs/results/evaluation/$encoder$way.json"
    done
done
