//! Where a JPEG picture starts and ends in a run of bytes.
//!
//! Segments are skipped by their stated length, so that a thumbnail inside one does
//! not count as a picture. Nothing is decoded.

/// What [`Scanner::feed`] came upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A picture starts behind the two bytes [`SOI`], which were consumed.
    Started,
    /// The picture ends with the last byte consumed.
    Complete,
    /// A new picture starts, behind [`SOI`], before the last one ended.
    Cut,
    /// This is no JPEG structure; the scanner looks for the next picture.
    Malformed(&'static str),
}

/// The bytes every picture starts with.
pub(crate) const SOI: [u8; 2] = [0xff, 0xd8];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between pictures; the flag tells that the last byte was 0xff.
    Hunt(bool),
    /// Between segments; 0xff must come.
    Marker,
    /// Behind 0xff between segments.
    MarkerCode,
    /// At the first or second byte of a segment's length.
    LengthHigh(u8),
    LengthLow(u8, u8),
    /// Inside a segment: its marker, bytes read, bytes in all.
    Segment(u8, u16, u16),
    /// Inside the coded data; the flag tells that the last byte was 0xff.
    Coded(bool),
}

/// Follows JPEG structure through bytes that come in pieces.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    /// Whether coded data has begun, which narrows the segments that may follow.
    coded: bool,
    /// The first bytes of the frame header: precision, height, width.
    header: [u8; 5],
    size: Option<(u32, u32)>,
}

impl Scanner {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Hunt(false),
            coded: false,
            header: [0; 5],
            size: None,
        }
    }

    /// Whether the bytes fed next belong to a picture.
    pub(crate) fn in_picture(&self) -> bool {
        !matches!(self.state, State::Hunt(_))
    }

    /// Width and height that the current picture's frame header states.
    pub(crate) fn size(&self) -> Option<(u32, u32)> {
        self.size
    }

    /// Gives the current picture up and looks for the next.
    pub(crate) fn abandon(&mut self) {
        self.state = State::Hunt(false);
    }

    /// Consumes bytes up to the first event. Returns how many, and the event if one
    /// came before they were used up.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> (usize, Option<Event>) {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                // The two states with long runs go from one 0xff to the next.
                State::Hunt(false) | State::Coded(false) => {
                    let Some(found) = bytes[at..].iter().position(|&byte| byte == 0xff) else {
                        return (bytes.len(), None);
                    };
                    at += found + 1;
                    self.state = if self.in_picture() {
                        State::Coded(true)
                    } else {
                        State::Hunt(true)
                    };
                }
                State::Segment(code, read, length) => {
                    let count = usize::from(length - read).min(bytes.len() - at);
                    self.keep_header(code, read, &bytes[at..at + count]);
                    at += count;
                    // `count` is at most what a u16 had left.
                    self.state = self.behind(code, read + count as u16, length);
                }
                _ => {
                    let event = self.step(bytes[at]);
                    at += 1;
                    if event.is_some() {
                        return (at, event);
                    }
                }
            }
        }
        (at, None)
    }

    fn start(&mut self) {
        self.state = State::Marker;
        self.coded = false;
        self.size = None;
    }

    fn step(&mut self, byte: u8) -> Option<Event> {
        match (self.state, byte) {
            (State::Hunt(true), 0xd8) => {
                self.start();
                return Some(Event::Started);
            }
            (State::Hunt(_), byte) => self.state = State::Hunt(byte == 0xff),
            (State::Marker, 0xff) => self.state = State::MarkerCode,
            (State::Marker, _) => {
                return self.malformed("bytes between segments");
            }
            // Any number of 0xff may fill up to a marker.
            (State::MarkerCode | State::Coded(true), 0xff) => {}
            (State::MarkerCode | State::Coded(true), 0xd8) => {
                self.start();
                return Some(Event::Cut);
            }
            (State::MarkerCode | State::Coded(true), 0xd9) => {
                self.state = State::Hunt(false);
                return Some(Event::Complete);
            }
            (State::MarkerCode, 0x01 | 0xd0..=0xd7) => self.state = State::Marker,
            (State::Coded(_), 0x00 | 0xd0..=0xd7) => self.state = State::Coded(false),
            (State::MarkerCode, 0x00 | 0x02..=0xbf) => {
                return self.malformed("a marker that JPEG does not have");
            }
            // Once coded data has begun only tables, scans and comments may follow;
            // anything else is damage, and trusting its length would swallow the
            // pictures behind it.
            (State::MarkerCode | State::Coded(true), code)
                if self.coded && !matches!(code, 0xc4 | 0xda..=0xdd | 0xe0..=0xef | 0xfe) =>
            {
                return self.malformed("a stray marker in the coded data");
            }
            (State::MarkerCode | State::Coded(_), code) => self.state = State::LengthHigh(code),
            (State::LengthHigh(code), high) => self.state = State::LengthLow(code, high),
            (State::LengthLow(code, high), low) => {
                // The length counts its own two bytes.
                let Some(length) = u16::from_be_bytes([high, low]).checked_sub(2) else {
                    return self.malformed("a segment shorter than its length field");
                };
                self.state = self.behind(code, 0, length);
            }
            // `feed` takes segments in one piece.
            (State::Segment(..), _) => {}
        }
        None
    }

    fn malformed(&mut self, reason: &'static str) -> Option<Event> {
        self.abandon();
        Some(Event::Malformed(reason))
    }

    /// The state with `read` of a segment's `length` bytes behind.
    fn behind(&mut self, code: u8, read: u16, length: u16) -> State {
        if read < length {
            return State::Segment(code, read, length);
        }
        if code == 0xda {
            self.coded = true;
        }
        if self.coded && code == 0xda {
            State::Coded(false)
        } else {
            State::Marker
        }
    }

    /// Takes the picture's size out of a frame header.
    fn keep_header(&mut self, code: u8, read: u16, bytes: &[u8]) {
        // C4, C8 and CC lie in the same range and are no frame headers.
        if !matches!(code, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf) {
            return;
        }
        let rest = self.header.get_mut(usize::from(read)..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        rest[..count].copy_from_slice(&bytes[..count]);
        if usize::from(read) + bytes.len() >= self.header.len() {
            let [_, high, low, left, right] = self.header;
            let height = u16::from_be_bytes([high, low]);
            let width = u16::from_be_bytes([left, right]);
            self.size = Some((u32::from(width), u32::from(height)));
        }
    }
}

/// Whether a JPEG file ends before its picture does. Damage of another kind is left
/// to the decoder.
pub(crate) fn is_cut_short(mut bytes: &[u8]) -> bool {
    let mut scanner = Scanner::new();
    loop {
        match scanner.feed(bytes) {
            (_, None) => return true,
            (used, Some(Event::Started)) => bytes = &bytes[used..],
            (_, Some(_)) => return false,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The structure of a JPEG with no decodable content: an APP1 segment that holds
    /// `inside`, a frame header, and coded data with a stuffed 0xff and a restart.
    pub(in crate::source::stream) fn skeleton(width: u16, height: u16, inside: &[u8]) -> Vec<u8> {
        let mut bytes = SOI.to_vec();
        let length = u16::try_from(inside.len() + 2).unwrap();
        bytes.extend([0xff, 0xe1]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(inside);
        bytes.extend([0xff, 0xff, 0xc0, 0, 11, 8]);
        bytes.extend(height.to_be_bytes());
        bytes.extend(width.to_be_bytes());
        bytes.extend([1, 1, 0x11, 0]);
        bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        bytes.extend([1, 2, 0xff, 0, 3, 0xff, 0xd0, 4, 0xff, 0xff, 0xd9]);
        bytes
    }

    fn events(bytes: &[u8], piece: usize) -> Vec<Event> {
        let mut scanner = Scanner::new();
        let mut found = Vec::new();
        for mut part in bytes.chunks(piece) {
            while !part.is_empty() {
                let (used, event) = scanner.feed(part);
                assert!(used > 0);
                found.extend(event);
                part = &part[used..];
            }
        }
        found
    }

    #[test]
    fn pieces_of_any_length_give_the_same_events() {
        let thumbnail = skeleton(8, 8, b"");
        let mut bytes = b"\xffgarbage".to_vec();
        bytes.extend(skeleton(640, 480, &thumbnail));
        bytes.extend([0; 9]);
        bytes.extend(skeleton(640, 480, b""));
        for piece in 1..=bytes.len() {
            assert_eq!(
                events(&bytes, piece),
                [
                    Event::Started,
                    Event::Complete,
                    Event::Started,
                    Event::Complete
                ],
                "{piece}"
            );
        }
    }

    #[test]
    fn size_is_that_of_the_frame_header() {
        for piece in 1..20 {
            let mut scanner = Scanner::new();
            let bytes = skeleton(640, 480, &skeleton(8, 8, b""));
            for mut part in bytes.chunks(piece) {
                while !part.is_empty() {
                    part = &part[scanner.feed(part).0..];
                }
            }
            assert_eq!(scanner.size(), Some((640, 480)));
        }
    }

    #[test]
    fn cut_pictures_are_told() {
        let whole = skeleton(8, 8, b"");
        assert!(!is_cut_short(&whole));
        for end in 0..whole.len() {
            assert!(is_cut_short(&whole[..end]), "{end}");
        }
        let mut cut = whole[..whole.len() - 3].to_vec();
        cut.extend(&whole);
        assert_eq!(
            events(&cut, 1000),
            [Event::Started, Event::Cut, Event::Complete]
        );
    }

    #[test]
    fn damage_is_told_and_left_behind() {
        let good = skeleton(8, 8, b"");
        for damage in [
            &[0xff, 0xd8, 7][..],
            &[0xff, 0xd8, 0xff, 0x00],
            &[0xff, 0xd8, 0xff, 0xe0, 0, 1],
        ] {
            let mut bytes = damage.to_vec();
            bytes.extend(&good);
            let found = events(&bytes, 1000);
            assert!(matches!(found[1], Event::Malformed(_)), "{found:?}");
            assert_eq!(found.last(), Some(&Event::Complete));
        }
        // A frame header's code in the coded data must not be followed.
        let mut stray = good[..good.len() - 4].to_vec();
        stray.extend([0xff, 0xc0, 0xff, 0xff]);
        stray.extend(&good);
        let found = events(&stray, 1000);
        assert!(matches!(found[1], Event::Malformed(_)), "{found:?}");
        assert_eq!(found.last(), Some(&Event::Complete));
    }
}
