#!/usr/bin/env bash
# One command from data to models/road/: renders scenes, trains two stages,
# exports the model with its manifest and scores it. Safe to run again after an
# interruption: finished parts are skipped and training goes on where it was.
#
#   models/train/train.sh --camvid DIR --start FILE.npz [--run DIR] [--out DIR]
#                         [--count N] [-- more options of atrous_train.train]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
camvid="" start="" run="$here/runs/road" out="$root/models/road" count=600
python=${PYTHON:-python3}

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }

while [ $# -gt 0 ]; do
    case $1 in
        --camvid) camvid=$2; shift 2 ;;
        --start) start=$2; shift 2 ;;
        --run) run=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --count) count=$2; shift 2 ;;
        --help | -h) usage; exit 0 ;;
        --) shift; break ;;
        *) echo "train.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
done
[ -d "$camvid/train/images" ] && [ -d "$camvid/val/images" ] || {
    echo "train.sh: --camvid must name a folder with train/ and val/, each with images/ and labels/" >&2
    exit 2
}
[ -f "$start" ] || { echo "train.sh: --start must name the npz with the start weights" >&2; exit 2; }
camvid=$(realpath "$camvid") start=$(realpath "$start")
mkdir -p "$run" "$out"
run=$(realpath "$run") out=$(realpath "$out")

venv=$run/venv
if [ ! -f "$venv/ready" ]; then
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet -r "$here/requirements.txt"
    touch "$venv/ready"
fi
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$here
# Large tensors are freed and asked for at every step: keep the memory instead of
# giving it back to the system, and use huge pages where there are some.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=268435456
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1 OMP_WAIT_POLICY=PASSIVE

render() { # folder, number, seed
    [ -f "$1/ready" ] && return
    (cd "$root" && cargo run --release --quiet --example render_scenes -- \
        "$1" --count "$2" --seed "$3" --size 640x480)
    touch "$1/ready"
}
render "$run/scenes-train" "$count" 1000
render "$run/scenes-held-out" 60 900000

module() { "$venv/bin/python" -m "atrous_train.$@"; }
module train --camvid "$camvid" --start "$start" --run "$run" \
    --scenes "$run/scenes-train" --held-out-scenes "$run/scenes-held-out" "$@"
module plot "$run/curves.csv" "$run/curves.png"
module calibrate "$run/stage2-final.pt" "$run/calibrated.pt" --camvid "$camvid" --scenes "$run/scenes-train"
module export "$run/calibrated.pt" --out "$out" --check "$camvid/val"
module evaluate "$out/road.onnx" "$camvid/val" "$run/scenes-held-out"
