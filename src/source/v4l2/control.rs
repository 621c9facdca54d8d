//! A camera's controls: what there is, and which value a text means for one.

use serde::Serialize;

/// Longest list of names that a message gives.
const MAX_NAMED: usize = 40;

/// What kind of value a control takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlKind {
    /// A number.
    Integer,
    /// On or off.
    Boolean,
    /// One of a list of texts.
    Menu,
    /// One of a list of numbers.
    IntegerMenu,
    /// Bits.
    Bitmask,
    /// Something that happens when it is set, whatever the value.
    Button,
    /// Text or a structure, which this program does not set.
    Other,
}

/// One entry of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MenuEntry {
    /// The value that stands for it.
    pub value: i64,
    /// Its text, or its number as text.
    pub text: String,
}

/// A control that a camera lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlInfo {
    /// The name by which it is set: the driver's, in snake case, as `v4l2-ctl` writes
    /// it, such as `exposure_time_absolute`.
    pub name: String,
    /// What it takes.
    pub kind: ControlKind,
    /// Smallest value.
    pub min: i64,
    /// Largest value.
    pub max: i64,
    /// The driver rounds to multiples of this above the smallest value.
    pub step: u64,
    /// The value it starts with.
    pub default: i64,
    /// The value now, where the driver tells.
    pub current: Option<i64>,
    /// The entries of a menu.
    pub menu: Vec<MenuEntry>,
    /// It cannot be set at all.
    pub read_only: bool,
    /// It has no effect while another control stands as it does.
    pub inactive: bool,
    /// Another program holds it, or it cannot be changed while the camera streams.
    pub grabbed: bool,
    #[serde(skip)]
    pub(super) id: u32,
}

/// The name by which a control is set, made from the driver's: letters and digits in
/// lower case, anything between them one underscore.
pub(super) fn snake_case(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("_")
}

impl ControlInfo {
    /// What it takes, in words, such as `3 to 2047 in steps of 1`.
    pub fn range(&self) -> String {
        match self.kind {
            ControlKind::Boolean => "on or off".to_owned(),
            ControlKind::Button => "any value".to_owned(),
            ControlKind::Other => "nothing this program can set".to_owned(),
            ControlKind::Menu | ControlKind::IntegerMenu => {
                let entries: Vec<String> = (self.menu.iter())
                    .map(|entry| format!("{} ({})", entry.value, entry.text))
                    .collect();
                entries.join(", ")
            }
            ControlKind::Bitmask => format!("bits within {:#x}", self.max),
            ControlKind::Integer if self.step > 1 => {
                format!("{} to {} in steps of {}", self.min, self.max, self.step)
            }
            ControlKind::Integer => format!("{} to {}", self.min, self.max),
        }
    }

    /// A value of it in words: a menu's text, on or off, or the number.
    pub fn value_text(&self, value: i64) -> String {
        match self.kind {
            ControlKind::Boolean => if value == 0 { "off" } else { "on" }.to_owned(),
            _ => match self.menu.iter().find(|entry| entry.value == value) {
                Some(entry) => format!("{value} ({})", entry.text),
                None => value.to_string(),
            },
        }
    }

    /// The value that `text` means.
    ///
    /// # Errors
    /// What would be accepted.
    pub(super) fn read(&self, text: &str) -> Result<i64, String> {
        let number = parse_number(text);
        let value = match self.kind {
            ControlKind::Boolean => match text.to_ascii_lowercase().as_str() {
                "0" | "false" | "off" | "no" => Some(0),
                "1" | "true" | "on" | "yes" => Some(1),
                _ => None,
            },
            ControlKind::Menu => {
                let wanted = snake_case(text);
                let entry = (self.menu.iter())
                    .find(|entry| number == Some(entry.value) || snake_case(&entry.text) == wanted);
                entry.map(|entry| entry.value)
            }
            // Its texts are numbers, so a number could be either: it is the entry.
            ControlKind::IntegerMenu => {
                number.filter(|number| self.menu.iter().any(|entry| entry.value == *number))
            }
            ControlKind::Integer => number.filter(|number| (self.min..=self.max).contains(number)),
            ControlKind::Bitmask => number.filter(|bits| *bits >= 0 && bits & !self.max == 0),
            ControlKind::Button => Some(0),
            ControlKind::Other => None,
        };
        value.ok_or_else(|| {
            format!(
                "the control {} cannot be set to '{text}'; it takes {}",
                self.name,
                self.range()
            )
        })
    }

    /// Why it cannot be set now, if it cannot; `all` are the camera's controls.
    pub(super) fn obstacle(&self, all: &[Self]) -> Option<String> {
        let name = &self.name;
        if self.read_only {
            return Some(format!("the control {name} can only be read"));
        }
        if self.grabbed {
            return Some(format!(
                "the control {name} cannot be changed now: another program uses it"
            ));
        }
        if !self.inactive {
            return None;
        }
        let automatic: Vec<String> = all
            .iter()
            .filter(|other| governs(&other.name, name) && !other.inactive)
            .map(|other| format!("{} ({}; now {})", other.name, other.range(), other.now()))
            .collect();
        Some(if automatic.is_empty() {
            format!(
                "the control {name} is inactive: another control has to be changed first; \
                 `atrous devices` lists them with their values"
            )
        } else {
            format!(
                "the control {name} is inactive: set first, to manual or off: {}",
                automatic.join(" or ")
            )
        })
    }

    fn now(&self) -> String {
        (self.current).map_or_else(|| "unknown".to_owned(), |value| self.value_text(value))
    }
}

/// Whether a control of this name is likely to switch `inactive` off: one of the two
/// speaks of automatics, and they share another word (`auto_exposure` and
/// `exposure_time_absolute`).
fn governs(name: &str, inactive: &str) -> bool {
    let is_auto = |word: &&str| word.starts_with("auto");
    name != inactive
        && name.split('_').any(|word| is_auto(&word))
        && (name.split('_').filter(|word| !is_auto(word)))
            .any(|word| inactive.split('_').any(|other| other == word))
}

/// A whole number, decimal or hexadecimal.
fn parse_number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        // A sign after the prefix is no number that anyone writes.
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_hexdigit()) => {
            i64::from_str_radix(digits, 16).ok()
        }
        Some(_) => None,
        None => text.parse().ok(),
    }
}

/// The control called `name`.
///
/// # Errors
/// Which ones there are.
pub(super) fn find<'a>(all: &'a [ControlInfo], name: &str) -> Result<&'a ControlInfo, String> {
    let wanted = snake_case(name);
    if let Some(control) = all.iter().find(|control| control.name == wanted) {
        return Ok(control);
    }
    let names: Vec<&str> = (all.iter())
        .filter(|control| control.kind != ControlKind::Other && !control.read_only)
        .map(|control| control.name.as_str())
        .collect();
    Err(if names.is_empty() {
        format!("there is no control {name}: the camera lists none that can be set")
    } else {
        let shown = names[..names.len().min(MAX_NAMED)].join(", ");
        let more = match names.len() - names.len().min(MAX_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("there is no control {name}; the camera has {shown}{more}")
    })
}

/// Something whose controls can be listed and set.
pub(super) trait Controls {
    /// What there is now: setting one control can change the others' state.
    fn list(&self) -> Result<Vec<ControlInfo>, String>;

    /// Sets one to a value within its range.
    fn set(&self, control: &ControlInfo, value: i64) -> Result<(), String>;
}

/// Sets the controls, given as name and text. Their order does not matter: one that
/// is inactive waits for those that may make it active.
///
/// # Errors
/// The name and what is wrong. Those before it may have been set.
pub(super) fn apply(camera: &impl Controls, wanted: &[(String, String)]) -> Result<(), String> {
    let mut left: Vec<&(String, String)> = wanted.iter().collect();
    while !left.is_empty() {
        let mut waiting = Vec::new();
        let mut obstacle = None;
        let before = left.len();
        for setting in left {
            let all = camera.list()?;
            let control = find(&all, &setting.0)?;
            let value = control.read(&setting.1)?;
            match control.obstacle(&all) {
                None => camera.set(control, value)?,
                Some(reason) if control.inactive => {
                    obstacle = Some(reason);
                    waiting.push(setting);
                }
                Some(reason) => return Err(reason),
            }
        }
        if let Some(reason) = obstacle
            && waiting.len() == before
        {
            return Err(reason);
        }
        left = waiting;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn control(name: &str, kind: ControlKind, min: i64, max: i64) -> ControlInfo {
        ControlInfo {
            name: name.into(),
            kind,
            min,
            max,
            step: 1,
            default: min,
            current: Some(min),
            menu: Vec::new(),
            read_only: false,
            inactive: false,
            grabbed: false,
            id: 0,
        }
    }

    fn menu(name: &str, entries: &[(i64, &str)]) -> ControlInfo {
        let mut menu = control(name, ControlKind::Menu, 0, 3);
        menu.menu = (entries.iter())
            .map(|&(value, text)| MenuEntry {
                value,
                text: text.into(),
            })
            .collect();
        menu
    }

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        for (driver, name) in [
            ("Exposure Time, Absolute", "exposure_time_absolute"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("  LED1 (Mode) ", "led1_mode"),
            ("", ""),
        ] {
            assert_eq!(snake_case(driver), name);
        }
    }

    #[test]
    fn numbers_keep_to_the_range() {
        let gain = control("gain", ControlKind::Integer, -5, 255);
        for (text, value) in [("-5", -5), ("255", 255), ("0x10", 16)] {
            assert_eq!(gain.read(text), Ok(value));
        }
        let long = "9".repeat(40);
        for text in ["256", "-6", "1.5", "", "0x", "0x-1", "high", &long] {
            let reason = gain.read(text).unwrap_err();
            assert!(
                reason.contains("gain") && reason.contains("-5 to 255"),
                "{reason}"
            );
        }
        let bits = control("leds", ControlKind::Bitmask, 0, 0b101);
        assert_eq!(bits.read("4"), Ok(4));
        assert!(bits.read("2").is_err() && bits.read("-1").is_err());
    }

    #[test]
    fn menus_take_their_text_or_number() {
        let auto = menu(
            "auto_exposure",
            &[(1, "Manual Mode"), (3, "Aperture Priority Mode")],
        );
        for text in ["1", "Manual Mode", "manual_mode", "MANUAL mode"] {
            assert_eq!(auto.read(text), Ok(1), "{text}");
        }
        for text in ["0", "2", "manual", ""] {
            let reason = auto.read(text).unwrap_err();
            assert!(
                reason.contains("1 (Manual Mode), 3 (Aperture Priority Mode)"),
                "{reason}"
            );
        }
        let mut scale = menu("scale", &[(0, "8"), (1, "4")]);
        scale.kind = ControlKind::IntegerMenu;
        assert_eq!(scale.read("1"), Ok(1));
        assert!(scale.read("8").is_err());
    }

    #[test]
    fn switches_take_words() {
        let flip = control("horizontal_flip", ControlKind::Boolean, 0, 1);
        assert_eq!([flip.read("on"), flip.read("False")], [Ok(1), Ok(0)]);
        assert!(flip.read("2").unwrap_err().contains("on or off"));
        let other = control("roi", ControlKind::Other, 0, 0);
        assert!(other.read("1").is_err());
    }

    #[test]
    fn an_unknown_name_is_told_the_others() {
        let all = [
            control("gain", ControlKind::Integer, 0, 1),
            control("roi", ControlKind::Other, 0, 1),
        ];
        assert!(find(&all, "Gain").is_ok());
        let reason = find(&all, "gian").unwrap_err();
        assert!(
            reason.contains("gian") && reason.ends_with("has gain"),
            "{reason}"
        );
        assert!(find(&[], "gain").unwrap_err().contains("lists none"));
    }

    /// A camera whose exposure time follows a switch.
    struct Fake {
        all: RefCell<Vec<ControlInfo>>,
        set: RefCell<Vec<(String, i64)>>,
    }

    impl Fake {
        fn new() -> Self {
            let mut time = control("exposure_time_absolute", ControlKind::Integer, 3, 2047);
            time.inactive = true;
            let auto = menu("auto_exposure", &[(1, "Manual Mode"), (3, "Auto Mode")]);
            let mut clock = control("clock", ControlKind::Integer, 0, 9);
            clock.read_only = true;
            Self {
                all: RefCell::new(vec![time, auto, clock]),
                set: RefCell::default(),
            }
        }
    }

    impl Controls for Fake {
        fn list(&self) -> Result<Vec<ControlInfo>, String> {
            Ok(self.all.borrow().clone())
        }

        fn set(&self, control: &ControlInfo, value: i64) -> Result<(), String> {
            self.set.borrow_mut().push((control.name.clone(), value));
            if control.name == "auto_exposure" {
                self.all.borrow_mut()[0].inactive = value != 1;
            }
            Ok(())
        }
    }

    fn wanted(settings: &[(&str, &str)]) -> Vec<(String, String)> {
        (settings.iter())
            .map(|&(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    }

    #[test]
    fn the_order_does_not_matter() {
        let camera = Fake::new();
        let settings = [
            ("exposure_time_absolute", "50"),
            ("auto_exposure", "manual mode"),
        ];
        assert_eq!(apply(&camera, &wanted(&settings)), Ok(()));
        let set = camera.set.into_inner();
        assert_eq!(
            set,
            [
                ("auto_exposure".to_owned(), 1),
                ("exposure_time_absolute".to_owned(), 50)
            ]
        );
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let alone = [("exposure_time_absolute", "50")];
        let still_auto = [("exposure_time_absolute", "50"), ("auto_exposure", "3")];
        for settings in [&alone[..], &still_auto] {
            let reason = apply(&Fake::new(), &wanted(settings)).unwrap_err();
            for part in [
                "exposure_time_absolute is inactive",
                "auto_exposure (1 (Manual",
            ] {
                assert!(reason.contains(part), "{reason}");
            }
        }
        let reason = apply(&Fake::new(), &wanted(&[("clock", "1")])).unwrap_err();
        assert!(reason.contains("only be read"), "{reason}");
        // A value out of range is told before the control is found inactive.
        let reason = apply(&Fake::new(), &wanted(&[("exposure_time_absolute", "1")]));
        assert!(reason.unwrap_err().contains("3 to 2047"));
    }
}
