//! Every variant of this processor gives the bytes of the scalar kernel, in one go and
//! in parts.

mod conv;
mod elementwise;
mod imaging;
mod mean_field;
mod resample;
