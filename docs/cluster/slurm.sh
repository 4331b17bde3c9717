#!/bin/bash
# One node, all of its cores. Submit with: sbatch docs/cluster/slurm.sh /archive /results/mine
#SBATCH --job-name=mammogram-embeddings
#SBATCH --nodes=1
#SBATCH --exclusive
#SBATCH --time=08:00:00
#SBATCH --requeue
set -euo pipefail

source .venv/bin/activate
# Two cores a process. A job that was requeued goes on where it stopped.
course embed "$1" -o "$2" --shards "$((SLURM_CPUS_ON_NODE / 2))" --cache "$2/../embeddings" --backbone resnet50
