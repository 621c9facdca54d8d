//! The options behind a URI's question mark.

/// What stands before the question mark, and the options behind it, where there is one.
pub fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((before, options)) => (before, Some(options)),
        None => (text, None),
    }
}

/// Options, decoded; every key is known and comes once.
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Takes `key=value&…` apart. Fails on a key that is not in `known`, where
    /// `prefix.NAME` stands for every key that begins so.
    pub fn parse(options: Option<&str>, known: &[&str]) -> Result<Self, String> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let options = options.unwrap_or_default();
        for part in options.split('&').filter(|part| !part.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("the option '{part}' lacks '=' and a value"));
            };
            let (key, value) = (percent_decode(key)?, percent_decode(value)?);
            let is_known = |known: &&str| match known.strip_suffix("NAME") {
                Some(prefix) => key
                    .strip_prefix(prefix)
                    .is_some_and(|name| !name.is_empty()),
                None => key == **known,
            };
            if !known.iter().any(is_known) {
                return Err(format!(
                    "unknown option '{key}'; known here: {}",
                    known.join(", ")
                ));
            }
            if pairs.iter().any(|(earlier, _)| *earlier == key) {
                return Err(format!("the option '{key}' is given twice"));
            }
            pairs.push((key, value));
        }
        Ok(Self { pairs })
    }

    /// Every key that begins with `prefix`, without it, with its value.
    pub fn named(&self, prefix: &str) -> Vec<(String, String)> {
        (self.pairs.iter())
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())))
            .collect()
    }

    /// The value of `key`, where given; `accepted` says in the error what `read`
    /// takes.
    pub fn read<T>(
        &self,
        key: &str,
        accepted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some((_, value)) = self.pairs.iter().find(|(found, _)| found == key) else {
            return Ok(None);
        };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("{key}={value} is not {accepted}")),
        }
    }
}

/// Replaces every `%XX`. The result must be UTF-8 without a zero byte, which no
/// path can hold.
pub fn percent_decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| {
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        });
        match digits {
            Some(0) => return Err("%00: a name cannot contain a zero byte".to_owned()),
            Some(byte) => bytes.push(byte),
            None => {
                return Err(format!(
                    "'{text}': '%' is followed by two hexadecimal digits; a plain one is \
                     written %25"
                ));
            }
        }
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| format!("'{text}' does not decode to UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        assert_eq!(percent_decode("a%20b%c3%A9"), Ok("a b\u{e9}".to_owned()));
        for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert!(percent_decode(bad).is_err(), "{bad}");
        }
    }
}
