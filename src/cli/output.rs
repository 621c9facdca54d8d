//! Printing. What cannot be printed must neither panic nor hide a result, and what a
//! file or a driver says must not drive the terminal.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// Prints a line on stderr. Where that is closed or full nobody is left to be told.
pub fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", visible(&text.to_string()));
}

/// Prints text on stdout.
pub fn print(text: &str) -> Result<()> {
    print_bytes(visible(text).as_bytes())
}

/// Prints a value as a line of JSON on stdout.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    // Written as a whole: serde_json would hide the I/O error, and with it the
    // reader that went away.
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    print_bytes(&line)
}

/// Prints text that has its own escape sequences for colour on stdout.
pub fn print_coloured(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .context("cannot write to stdout")
}

/// The text with control characters, except the newline, in escaped form.
pub fn visible(text: &str) -> Cow<'_, str> {
    let hidden = |c: char| c.is_control() && c != '\n';
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible_and_lines_stay() {
        assert_eq!(visible("a\nb \u{e4}"), "a\nb \u{e4}");
        assert_eq!(visible("a\x1b[2J\u{9b}\r\tb"), "a\\u{1b}[2J\\u{9b}\\r\\tb");
    }
}
