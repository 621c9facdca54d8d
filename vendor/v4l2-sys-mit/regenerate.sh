#!/usr/bin/env bash
# Writes src/bindings.rs from the kernel's <linux/videodev2.h>.
#
# Needs, on Debian: apt-get install libclang-dev clang linux-libc-dev linux-libc-dev-arm64-cross libc6-dev-arm64-cross
# and: cargo install bindgen-cli --version 0.65.1 --locked (or BINDGEN=path).
set -euo pipefail
cd "$(dirname "$0")"
bindgen=${BINDGEN:-bindgen}
sysroot=${AARCH64_SYSROOT:-/usr/aarch64-linux-gnu}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo '#include <linux/videodev2.h>' >"$tmp/videodev2.h"

# What v4l 0.14 names, as one alternation; bindgen adds what these contain.
types='v4l2_(audio|audioout|buffer|capability|captureparm|control|crop|cropcap'
types+='|edid|enc_idx|encoder_cmd|exportbuffer|ext_control|ext_controls|fmtdesc'
types+='|format|fract|framebuffer|frequency|frmivalenum|frmivaltypes|frmsizeenum'
types+='|frmsizetypes|input|jpegcompression|modulator|output|outputparm|pix_format'
types+='|query_ext_ctrl|queryctrl|querymenu|requestbuffers|sliced_vbi_cap|standard'
types+='|std_id|streamparm|tuner)|timeval|time_t'

generate() { # file, clang arguments
    local out=$1
    shift
    # The v4l2_ctrl_* structures (codec state) are only pointed at; as plain bytes
    # they neither grow the file nor follow the kernel's renaming of their fields.
    "$bindgen" "$tmp/videodev2.h" --output "$out" \
        --no-doc-comments --no-layout-tests \
        --allowlist-type "$types" --allowlist-var 'V4L2_CTRL_FLAG_.*' \
        --opaque-type 'v4l2_ctrl_.*' -- "$@"
}
generate "$tmp/x86_64.rs" --target=x86_64-linux-gnu
generate "$tmp/aarch64.rs" --target=aarch64-linux-gnu -isystem "$sysroot/include"
# One file serves both targets only as long as they agree.
diff -u "$tmp/x86_64.rs" "$tmp/aarch64.rs"
cp "$tmp/x86_64.rs" src/bindings.rs
echo "src/bindings.rs: $(wc -l <src/bindings.rs) lines, the same for x86_64 and aarch64"
