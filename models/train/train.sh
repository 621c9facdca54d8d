#!/usr/bin/env bash
# One command from data to a model: trains the network of a task, exports it with its manifest and
# scores it. Safe to run again after an interruption: finished parts are skipped and training goes
# on where it was.
#
#   models/train/train.sh road|nuclei --data DIR [--start FILE] [--run DIR] [--out DIR]
#                         [-- more options of atrous_train.train]
#
#   --data DIR    folder with train/ and val/, each with images/ and labels/ (nuclei: masks/)
#   --start FILE  npz with start weights, or a checkpoint; from scratch if not given
#   --run DIR     for checkpoints, scenes, curves; models/train/runs/TASK if not given
#   --out DIR     for NAME.onnx and model.toml; models/TASK if not given
#   PYTHON        the interpreter that the virtual environment is made with; VENV one to use as it is
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
usage() { sed -n '2,15s/^# \{0,1\}//p' "$0"; }
die() { echo "train.sh: $1" >&2; exit 2; }

task=${1:-}
case $task in
    --help | -h) usage; exit 0 ;;
    '' | -*) usage >&2; exit 2 ;;
esac
shift
[ -f "$here/tasks/$task.toml" ] || die "no task $task; there are: $(cd "$here/tasks" && echo *.toml)"
data="" start="" run=$here/runs/$task out=$root/models/$task
while [ $# -gt 0 ]; do
    case $1 in
        --data) data=$2; shift 2 ;;
        --start) start=$2; shift 2 ;;
        --run) run=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --) shift; break ;;
        *) usage >&2; die "unknown option $1" ;;
    esac
done
[ -d "$data/train/images" ] && [ -d "$data/val/images" ] ||
    die "--data must name a folder with train/ and val/, each with images/ and labels"
data=$(realpath "$data")
more=("$@")
if [ -n "$start" ]; then
    [ -f "$start" ] || die "--start: no file $start"
    more+=(--start "$(realpath "$start")")
fi
mkdir -p "$run" "$out"
run=$(realpath "$run") out=$(realpath "$out")

venv=${VENV:-$run/venv}
if [ -z "${VENV:-}" ] && [ ! -f "$venv/ready" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
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
check=("$data/val")
if grep -q '^scenes = ' "$here/tasks/$task.toml"; then
    render "$run/scenes-train" 600 1000
    render "$run/scenes-held-out" 60 900000
    check+=("$run/scenes-held-out")
fi

module() { "$venv/bin/python" -m "atrous_train.$@"; }
module train "$task" --data "$data" --run "$run" "${more[@]}"
module plot "$run/curves.csv" "$run/curves.png"
module export "$task" "$run/final.pt" --out "$out" --check "$data/val"
module evaluate "$out/model.toml" "${check[@]}"
