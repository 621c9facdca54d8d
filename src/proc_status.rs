//! `/proc/self/status`, and other files of lines such as `Name:  value`.

/// What the kernel says of this process; empty where it says nothing.
pub fn of_this_process() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// The value behind a key.
pub fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(name, _)| *name == key)?;
    Some(value.trim())
}

/// A set of bits, which is written in hexadecimal digits.
pub fn mask(text: &str, key: &str) -> Option<u64> {
    u64::from_str_radix(field(text, key)?, 16).ok()
}
