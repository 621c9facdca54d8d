//! V4L2's structures and constants, as bindgen writes them for 64-bit Linux.
#![allow(clippy::all)]
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals)]

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64",
    target_endian = "little"
)))]
compile_error!(
    "v4l2-sys-mit: the checked-in bindings cover x86_64 and aarch64 Linux only; \
     see regenerate.sh for another target"
);

include!("bindings.rs");

// The kernel encodes these sizes in its ioctl numbers, so a wrong one fails here
// rather than as ENOTTY on a board.
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<v4l2_capability>() == 104);
    assert!(size_of::<v4l2_fmtdesc>() == 64);
    assert!(size_of::<v4l2_pix_format>() == 48);
    assert!(size_of::<v4l2_format>() == 208);
    assert!(size_of::<v4l2_requestbuffers>() == 20);
    assert!(size_of::<v4l2_buffer>() == 88);
    assert!(offset_of!(v4l2_buffer, timestamp) == 24);
    assert!(offset_of!(v4l2_buffer, m) == 64);
    assert!(size_of::<v4l2_streamparm>() == 204);
    assert!(size_of::<v4l2_frmsizeenum>() == 44);
    assert!(size_of::<v4l2_frmivalenum>() == 52);
    assert!(size_of::<v4l2_control>() == 8);
    assert!(size_of::<v4l2_ext_control>() == 20);
    assert!(size_of::<v4l2_ext_controls>() == 32);
    assert!(size_of::<v4l2_query_ext_ctrl>() == 232);
    assert!(size_of::<v4l2_querymenu>() == 44);
};
