//! Turning a panic inside a library into an error.
//!
//! Some libraries panic on hostile input (a model file, a device that vanished).
//! [`contain`] gives such a panic back as a message, and keeps Rust's own report
//! off the user's terminal once [`install`] was called.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Makes the process's panic report skip panics inside [`contain`]. Call it once,
/// at program start.
pub fn install() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !CONTAINED.get() {
            report(info);
        }
    }));
}

/// Runs `work` and returns its value, or the panic's message.
///
/// # Errors
/// The text of the panic.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CONTAINED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    result.map_err(|panic| panic_text(panic.as_ref()))
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("unknown cause").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        install();
        assert_eq!(contain(|| 3), Ok(3));
        let index = 7;
        let error = contain(|| [0; 3][std::hint::black_box(index)]).unwrap_err();
        assert!(error.contains("out of bounds"), "{error}");
    }
}
