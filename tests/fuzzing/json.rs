//! Changes to JSON text that leave it JSON, mostly.

use super::Rng;

/// Changes one place of the text.
pub fn spoil(rng: &mut Rng, text: &mut Vec<u8>) {
    let places = match rng.below(8) {
        0..=4 => tokens(text, |b| b.is_ascii_digit() || b"-.eE+".contains(&b)),
        5 | 6 => tokens(text, |b| b.is_ascii_lowercase() || b == b'_'),
        _ => return rng.spoil(text),
    };
    let numbers = places.iter().filter(|r| text[r.start].is_ascii_digit());
    let numbers: Vec<_> = numbers.cloned().collect();
    if let (false, true) = (numbers.is_empty(), rng.below(10) < 8) {
        let at = rng.pick(&numbers).clone();
        let old = std::str::from_utf8(&text[at.clone()]).unwrap_or_default();
        let new = match rng.below(6) {
            0 => "18446744073709551615".into(),
            1 => "18446744073709551616".into(),
            2 => format!("{:e}", rng.float()),
            3 => "1e400".into(),
            _ => rng.number(old.parse().unwrap_or(1)).to_string(),
        };
        text.splice(at, new.into_bytes());
    } else if !places.is_empty() {
        // One word in another's place: an operation, a field, a literal.
        let from = rng.pick(&places).clone();
        let word = text[from].to_vec();
        let at = rng.pick(&places).clone();
        text.splice(at, word);
    }
}

/// Runs of bytes that belong to a kind of token.
fn tokens(text: &[u8], is_part: impl Fn(u8) -> bool) -> Vec<std::ops::Range<usize>> {
    let mut tokens = Vec::new();
    let mut start = None;
    for (at, &byte) in text.iter().enumerate() {
        match (is_part(byte), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                tokens.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    tokens
}
