//! The promises of a line and of a bank.

extern crate std;

use core::convert::Infallible;
use core::fmt;
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use embedded_hal::digital::{ErrorKind, ErrorType, OutputPin};
use proptest::prelude::*;

use super::*;

/// A pin whose levels the test sees.
#[derive(Debug, Clone, Default)]
struct Probe(Rc<RefCell<Vec<Level>>>);

impl Probe {
    fn last(&self) -> Level {
        *self.0.borrow().last().unwrap()
    }
}

impl ErrorType for Probe {
    type Error = Infallible;
}

impl OutputPin for Probe {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.borrow_mut().push(Level::Low);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.borrow_mut().push(Level::High);
        Ok(())
    }
}

/// A pin that fails while told so.
#[derive(Debug, Clone, Default)]
struct Loose {
    broken: Rc<RefCell<bool>>,
    probe: Probe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl embedded_hal::digital::Error for Broken {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for Loose {
    type Error = Broken;
}

impl OutputPin for Loose {
    fn set_low(&mut self) -> Result<(), Broken> {
        if *self.broken.borrow() {
            return Err(Broken);
        }
        self.probe.set_low().map_err(|never| match never {})
    }

    fn set_high(&mut self) -> Result<(), Broken> {
        if *self.broken.borrow() {
            return Err(Broken);
        }
        self.probe.set_high().map_err(|never| match never {})
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const SPEC: RuleSpec = RuleSpec {
    on: 0.2,
    off: 0.1,
    dwell: ms(100),
    active: Level::High,
    safe: Level::Low,
    max_age: Some(ms(500)),
    min_rate: None,
};

fn line(spec: RuleSpec) -> (Line<Probe>, Probe) {
    let probe = Probe::default();
    (Line::new(spec, probe.clone()).unwrap(), probe)
}

#[test]
fn thresholds_are_checked() {
    let with = |on: f32, off: f32| RuleSpec { on, off, ..SPEC }.check();
    for (on, off) in [
        (0.2, 0.1),
        (0.2, 0.2),
        (1.0, 0.0),
        (1.0, 1.0),
        (f32::MIN_POSITIVE, 0.0),
    ] {
        assert_eq!(with(on, off), Ok(()));
    }
    assert_eq!(with(0.0, 0.0), Err(SpecError::On { on: 0.0 }));
    assert_eq!(with(-0.1, 0.0), Err(SpecError::On { on: -0.1 }));
    assert_eq!(with(1.1, 0.0), Err(SpecError::On { on: 1.1 }));
    assert_eq!(with(0.5, -0.1), Err(SpecError::Off { off: -0.1 }));
    assert_eq!(with(0.5, 1.5), Err(SpecError::Off { off: 1.5 }));
    assert_eq!(
        with(0.1, 0.2),
        Err(SpecError::OnBelowOff { on: 0.1, off: 0.2 })
    );
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert!(matches!(with(bad, 0.1), Err(SpecError::On { .. })));
        assert!(matches!(with(0.5, bad), Err(SpecError::Off { .. })));
    }
    let text = SpecError::OnBelowOff { on: 0.1, off: 0.2 }.to_string();
    assert!(
        text.contains("on = 0.1") && text.contains("below off = 0.2"),
        "{text}"
    );
}

#[test]
fn safe_is_driven_first_of_all() {
    for safe in [Level::Low, Level::High] {
        for active in [Level::Low, Level::High] {
            let (line, probe) = line(RuleSpec {
                safe,
                active,
                ..SPEC
            });
            assert_eq!(*probe.0.borrow(), [safe]);
            assert_eq!(line.state(), State::Safe);
            assert_eq!(line.level(), Some(safe));
            assert_eq!(line.next_deadline(), None);
        }
    }
}

/// What the test does to a line at a time in milliseconds.
enum Do {
    /// A result of that fraction, captured now.
    See(f32),
    /// A result of that fraction, captured at that time.
    SeeFrom(f32, u64),
    Expire,
    FailSafe,
}
use Do::{Expire, FailSafe, See, SeeFrom};
use Level::{High, Low};
use State::{Off, On, Safe};

/// Runs steps and compares state and edge after each.
fn play(spec: RuleSpec, steps: &[(u64, Do, State, Option<Level>)]) {
    let (mut line, probe) = line(spec);
    for (index, (at, action, state, edge)) in steps.iter().enumerate() {
        let now = ms(*at);
        let got = match action {
            See(fraction) => line.update(*fraction, now, now),
            SeeFrom(fraction, captured) => line.update(*fraction, ms(*captured), now),
            Expire => line.expire(now),
            FailSafe => line.fail_safe(now),
        }
        .unwrap();
        assert_eq!(line.state(), *state, "state after step {index}");
        assert_eq!(got.map(|edge| edge.level), *edge, "edge of step {index}");
        if let Some(edge) = got {
            assert_eq!((edge.at, edge.state), (now, *state), "step {index}");
        }
        assert_eq!(probe.last(), spec.level(*state), "pin after step {index}");
    }
}

#[test]
fn on_and_off_after_dwell() {
    play(
        SPEC,
        &[
            (0, See(0.0), Safe, None),
            (99, See(0.05), Safe, None),
            // Off has the safe level here: a new state, no edge.
            (100, See(0.05), Off, None),
            (200, See(0.2), Off, None),
            (299, See(0.9), Off, None),
            (300, See(0.2), On, Some(High)),
            (400, See(0.05), On, None),
            (499, See(0.0), On, None),
            (500, See(0.0999), Off, Some(Low)),
        ],
    );
}

#[test]
fn exactly_at_the_thresholds() {
    let spec = RuleSpec {
        dwell: ms(0),
        ..SPEC
    };
    play(
        spec,
        &[
            (0, See(0.1), Safe, None),
            (1, See(0.2), On, Some(High)),
            (2, See(0.1), On, None),
            (3, See(0.0999), Off, Some(Low)),
            (4, See(0.1999), Off, None),
        ],
    );
    // One threshold for both ways.
    play(
        RuleSpec { off: 0.2, ..spec },
        &[
            (0, See(0.19), Off, None),
            (1, See(0.2), On, Some(High)),
            (2, See(0.19), Off, Some(Low)),
        ],
    );
    // off = 0 means: not one pixel left.
    play(
        RuleSpec { off: 0.0, ..spec },
        &[
            (0, See(0.2), On, Some(High)),
            (1, See(0.0001), On, None),
            (2, See(0.0), Off, Some(Low)),
        ],
    );
}

#[test]
fn dwell_starts_anew_when_the_condition_breaks() {
    play(
        SPEC,
        &[
            (0, See(0.3), Safe, None),
            (90, See(0.3), Safe, None),
            (95, See(0.15), Safe, None),
            (100, See(0.3), Safe, None),
            (190, See(0.3), Safe, None),
            (195, See(0.0), Safe, None),
            (200, See(0.3), Safe, None),
            (300, See(0.3), On, Some(High)),
            (310, See(0.05), On, None),
            (400, See(0.1), On, None),
            (410, See(0.05), On, None),
            (509, See(0.05), On, None),
            (510, See(0.05), Off, Some(Low)),
        ],
    );
}

#[test]
fn dwell_counts_captures_not_arrivals() {
    play(
        SPEC,
        &[
            (200, SeeFrom(0.3, 0), Safe, None),
            (400, SeeFrom(0.3, 99), Safe, None),
            (401, SeeFrom(0.3, 100), On, Some(High)),
        ],
    );
}

#[test]
fn expires_at_max_age_counted_from_capture() {
    let spec = RuleSpec {
        dwell: ms(0),
        ..SPEC
    };
    play(
        spec,
        &[
            (100, SeeFrom(0.3, 0), On, Some(High)),
            (499, Expire, On, None),
            (500, Expire, Safe, Some(Low)),
            (501, Expire, Safe, None),
            // A result that comes too late changes nothing, a new one does.
            (502, SeeFrom(0.9, 2), Safe, None),
            (503, SeeFrom(0.9, 4), On, Some(High)),
            (504, Expire, Safe, Some(Low)),
        ],
    );
    // The safe level may be the active one.
    play(
        RuleSpec { safe: High, ..spec },
        &[
            (0, See(0.0), Off, Some(Low)),
            (500, Expire, Safe, Some(High)),
            (501, See(0.15), Safe, None),
            (502, See(0.3), On, None),
            (503, See(0.0), Off, Some(Low)),
        ],
    );
    play(
        RuleSpec {
            max_age: None,
            ..spec
        },
        &[(0, See(0.3), On, Some(High)), (1 << 40, Expire, On, None)],
    );
}

#[test]
fn an_unobserved_gap_breaks_the_dwell() {
    play(
        SPEC,
        &[
            (0, See(0.3), Safe, None),
            (500, See(0.3), Safe, None),
            (599, See(0.3), Safe, None),
            (600, See(0.3), On, Some(High)),
        ],
    );
}

#[test]
fn fail_safe_forgets_everything() {
    play(
        SPEC,
        &[
            (0, See(0.3), Safe, None),
            (100, See(0.3), On, Some(High)),
            (110, FailSafe, Safe, Some(Low)),
            (111, FailSafe, Safe, None),
            (120, See(0.3), Safe, None),
            (220, See(0.3), On, Some(High)),
        ],
    );
}

#[test]
fn no_number_is_fail_safe() {
    let spec = RuleSpec {
        dwell: ms(0),
        ..SPEC
    };
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.01, 1.01] {
        play(
            spec,
            &[
                (0, See(0.3), On, Some(High)),
                (1, See(bad), Safe, Some(Low)),
            ],
        );
    }
}

#[test]
fn an_unchecked_spec_never_leaves_safe() {
    for (on, off) in [(0.0, 0.0), (f32::NAN, 0.1), (0.1, 0.2), (0.5, -1.0)] {
        let spec = RuleSpec {
            on,
            off,
            dwell: ms(0),
            ..SPEC
        };
        play(
            spec,
            &[(0, See(0.0), Safe, None), (1, See(1.0), Safe, None)],
        );
    }
}

#[test]
fn polarity_is_applied_once() {
    let spec = RuleSpec {
        dwell: ms(0),
        active: Low,
        safe: High,
        ..SPEC
    };
    play(
        spec,
        &[
            (0, See(0.0), Off, None),
            (1, See(0.3), On, Some(Low)),
            (2, FailSafe, Safe, Some(High)),
        ],
    );
}

#[test]
fn a_clock_that_goes_back_makes_nothing_younger() {
    let (mut line, _) = line(RuleSpec {
        dwell: ms(0),
        ..SPEC
    });
    line.update(0.3, ms(1000), ms(1000)).unwrap();
    assert_eq!(line.expire(ms(1499)).unwrap(), None);
    // Taken as 1499, the latest seen.
    assert_eq!(line.expire(ms(10)).unwrap(), None);
    let edge = line.fail_safe(ms(10)).unwrap().unwrap();
    assert_eq!(edge.at, ms(1499));
    // A stamp from the future is as young as now, no younger.
    line.update(0.3, ms(9000), ms(1500)).unwrap();
    assert_eq!(line.next_deadline(), Some(ms(2000)));
}

#[test]
fn the_deadline_is_when_expire_acts() {
    let (mut line, _) = line(SPEC);
    line.update(0.0, ms(100), ms(130)).unwrap();
    assert_eq!(line.next_deadline(), Some(ms(600)));
    line.expire(ms(599)).unwrap();
    assert!(line.next_deadline().is_some());
    line.expire(ms(600)).unwrap();
    assert_eq!(line.state(), Safe);
    assert_eq!(line.next_deadline(), None);
    // No deadline past the end of time.
    line.update(0.0, Duration::MAX, Duration::MAX).unwrap();
    assert_eq!(line.next_deadline(), None);
}

#[test]
fn a_failed_pin_is_tried_again() {
    let pin = Loose::default();
    *pin.broken.borrow_mut() = true;
    assert_eq!(Line::new(SPEC, pin.clone()).unwrap_err(), Broken);

    *pin.broken.borrow_mut() = false;
    let spec = RuleSpec {
        dwell: ms(0),
        ..SPEC
    };
    let mut line = Line::new(spec, pin.clone()).unwrap();
    *pin.broken.borrow_mut() = true;
    assert_eq!(line.update(0.3, ms(1), ms(1)), Err(Broken));
    assert_eq!((line.state(), line.level()), (On, None));
    assert_eq!(line.update(0.3, ms(2), ms(2)), Err(Broken));
    assert_eq!(line.expire(ms(3)), Err(Broken));
    *pin.broken.borrow_mut() = false;
    let edge = Edge {
        at: ms(4),
        level: High,
        state: On,
    };
    assert_eq!(line.expire(ms(4)), Ok(Some(edge)));

    // The level after a failure is unknown, so even the old one is driven again.
    *pin.broken.borrow_mut() = true;
    assert_eq!(line.fail_safe(ms(5)), Err(Broken));
    *pin.broken.borrow_mut() = false;
    let edge = Edge {
        at: ms(6),
        level: High,
        state: On,
    };
    assert_eq!(line.update(0.3, ms(6), ms(6)), Ok(Some(edge)));
}

#[test]
fn a_bank_drives_every_line_though_one_fails() {
    let pins: Vec<Loose> = (0..3).map(|_| Loose::default()).collect();
    let mut bank: Bank<Loose, 3> = Bank::new();
    let spec = RuleSpec {
        dwell: ms(0),
        ..SPEC
    };
    for pin in &pins {
        bank.push(Line::new(spec, pin.clone()).unwrap()).unwrap();
    }
    let extra = Line::new(spec, Loose::default()).unwrap();
    assert!(bank.push(extra).is_err(), "a full bank gives the line back");

    let mut edges = vec![];
    bank.update_all(&[0.3, 0.0, 0.3], ms(1), ms(1), |line, edge| {
        edges.push((line, edge.level))
    })
    .unwrap();
    assert_eq!(edges, [(0, High), (2, High)]);
    assert_eq!(bank.next_deadline(), Some(ms(501)));

    *pins[0].broken.borrow_mut() = true;
    edges.clear();
    let fault = bank
        .fail_safe_all(ms(2), |line, edge| edges.push((line, edge.level)))
        .unwrap_err();
    assert_eq!(
        fault,
        Fault {
            line: 0,
            error: Broken
        }
    );
    assert_eq!(fault.to_string(), "line 0: broken");
    assert_eq!(edges, [(2, Low)]);
    assert_eq!(bank.lines()[2].state(), Safe);

    *pins[0].broken.borrow_mut() = false;
    edges.clear();
    bank.expire_all(ms(3), |line, edge| edges.push((line, edge.level)))
        .unwrap();
    assert_eq!(edges, [(0, Low)]);
}

#[test]
fn a_line_without_a_fraction_goes_safe() {
    let mut bank: Bank<Probe, 2> = Bank::new();
    let spec = RuleSpec {
        dwell: ms(0),
        ..SPEC
    };
    for _ in 0..2 {
        bank.push(line(spec).0).unwrap();
    }
    bank.update_all(&[0.3, 0.3], ms(1), ms(1), |_, _| {})
        .unwrap();
    bank.update_all(&[0.3], ms(2), ms(2), |_, _| {}).unwrap();
    let states: Vec<State> = bank.lines().iter().map(Line::state).collect();
    assert_eq!(states, [On, Safe]);
    bank.expire_all(ms(502), |_, _| {}).unwrap();
    assert!(bank.lines().iter().all(|line| line.state() == Safe));
    assert_eq!(bank.next_deadline(), None);
}

#[derive(Debug, Clone)]
enum Happening {
    Result { fraction: f32, latency: u64 },
    Expire,
    FailSafe,
}

fn fraction() -> impl Strategy<Value = f32> {
    prop_oneof![
        6 => 0.0f32..=1.0,
        // Values around the thresholds, the thresholds themselves and no number.
        4 => prop::sample::select(&[0.0, 0.0999, 0.1, 0.15, 0.1999, 0.2, 1.0, f32::NAN][..]),
    ]
}

fn events() -> impl Strategy<Value = Vec<(u64, Happening)>> {
    let event = prop_oneof![
        8 => (fraction(), 0u64..700).prop_map(|(fraction, latency)| Happening::Result { fraction, latency }),
        2 => Just(Happening::Expire),
        1 => Just(Happening::FailSafe),
    ];
    prop::collection::vec((0u64..200, event), 0..80)
}

fn spec() -> impl Strategy<Value = RuleSpec> {
    let level = || prop::sample::select(&[Low, High][..]);
    let age = prop::option::of((1u64..600).prop_map(ms));
    (0u64..300, level(), level(), age).prop_map(|(dwell, active, safe, max_age)| RuleSpec {
        dwell: ms(dwell),
        active,
        safe,
        max_age,
        ..SPEC
    })
}

proptest! {
    /// On only after `dwell` of results at or over `on`; safe after every expiry
    /// that is due; the pin always at the state's level.
    #[test]
    fn promises_hold(spec in spec(), events in events()) {
        let (mut line, probe) = line(spec);
        let mut now = Duration::ZERO;
        let mut newest = Duration::ZERO;
        // Captures of the unbroken run of results at or over `on`.
        let mut run: Option<Duration> = None;
        for (wait, event) in events {
            now += ms(wait);
            let before = line.state();
            match event {
                Happening::Result { fraction, latency } => {
                    // Captures come in order, as sources deliver them.
                    let captured = now.saturating_sub(ms(latency)).max(newest);
                    newest = captured;
                    line.update(fraction, captured, now).unwrap();
                    let stale = spec.max_age.is_some_and(|max| now - captured >= max);
                    if fraction >= spec.on && !stale {
                        let since = *run.get_or_insert(captured);
                        if line.state() == On && before != On {
                            prop_assert!(captured - since >= spec.dwell);
                        }
                    } else {
                        run = None;
                        prop_assert!(line.state() != On || before == On);
                    }
                    if stale || fraction.is_nan() {
                        prop_assert_eq!(line.state(), Safe);
                    }
                }
                Happening::Expire => {
                    let due = line.next_deadline().is_some_and(|deadline| deadline <= now);
                    line.expire(now).unwrap();
                    if due {
                        prop_assert_eq!(line.state(), Safe);
                        run = None;
                    } else {
                        prop_assert_eq!(line.state(), before);
                    }
                }
                Happening::FailSafe => {
                    line.fail_safe(now).unwrap();
                    prop_assert_eq!(line.state(), Safe);
                    run = None;
                }
            }
            prop_assert_eq!(probe.last(), spec.level(line.state()));
            prop_assert_eq!(line.level(), Some(probe.last()));
        }
        // The pin is written for real changes only.
        let levels = probe.0.borrow();
        prop_assert!(levels.windows(2).all(|pair| pair[0] != pair[1]));
    }

    /// Noise between the thresholds moves nothing, whatever the state was.
    #[test]
    fn no_chatter_between_the_thresholds(
        start in prop::sample::select(&[0.0f32, 1.0][..]),
        noise in prop::collection::vec(0.1f32..0.2, 1..100),
    ) {
        let (mut line, probe) = line(RuleSpec { dwell: ms(0), ..SPEC });
        line.update(start, ms(0), ms(0)).unwrap();
        let state = line.state();
        let writes = probe.0.borrow().len();
        for (index, fraction) in noise.into_iter().enumerate() {
            let now = ms(index as u64);
            line.update(fraction, now, now).unwrap();
            prop_assert_eq!(line.state(), state);
        }
        prop_assert_eq!(probe.0.borrow().len(), writes);
    }
}

#[test]
fn a_line_goes_safe_below_its_least_rate() {
    // Four results within 400 ms.
    let spec = RuleSpec {
        dwell: ms(0),
        max_age: Some(ms(5000)),
        min_rate: Some(10.0),
        ..SPEC
    };
    play(
        spec,
        &[
            (0, See(0.3), Safe, None),
            (90, See(0.3), Safe, None),
            (180, See(0.3), Safe, None),
            (270, See(0.3), On, Some(High)),
            // The first of the four was at 0.
            (399, Expire, On, None),
            (400, Expire, Safe, Some(Low)),
            // The last four began at 90, and then at 180.
            (500, See(0.3), Safe, None),
            (510, See(0.3), On, Some(High)),
        ],
    );
    let (mut line, _) = line(spec);
    for at in [0, 90, 180, 270] {
        line.update(0.3, ms(at), ms(at)).unwrap();
    }
    assert_eq!(line.next_deadline(), Some(ms(400)));
}

#[test]
fn a_heartbeat_keeps_to_its_interval_and_repeats_what_failed() {
    let pin = Loose::default();
    let mut heart = Heartbeat::new(pin.clone(), beats(100)).unwrap();
    assert_eq!(heart.beat(ms(0), ms(5)), Ok(Some(High)));
    assert_eq!(heart.beat(ms(104), ms(104)), Ok(None));
    *pin.broken.borrow_mut() = true;
    assert_eq!(heart.beat(ms(105), ms(105)), Err(Broken));
    *pin.broken.borrow_mut() = false;
    assert_eq!(heart.beat(ms(105), ms(106)), Ok(Some(Low)));
    // An old result is no sign of life; one a moment younger is.
    assert_eq!(heart.beat(ms(1000), ms(2000)), Ok(None));
    assert_eq!(heart.beat(ms(1001), ms(2000)), Ok(Some(High)));
    assert_eq!(*pin.probe.0.borrow(), [Low, High, Low, High]);
}

/// A beat each so many milliseconds, of results younger than a second.
fn beats(interval: u64) -> HeartbeatSpec {
    HeartbeatSpec {
        interval: ms(interval),
        max_age: ms(1000),
    }
}

type Notices = Vec<Notice<Broken>>;

fn controller(pins: &[Loose], heart: Option<&Loose>) -> Controller<Loose, 4> {
    let mut bank = Bank::new();
    for (index, pin) in pins.iter().enumerate() {
        let spec = RuleSpec {
            dwell: ms(0),
            max_age: Some(ms(500 * (index as u64 + 1))),
            ..SPEC
        };
        bank.push(Line::new(spec, pin.clone()).unwrap()).unwrap();
    }
    let heart = heart.map(|pin| Heartbeat::new(pin.clone(), beats(50)).unwrap());
    Controller::new(bank, heart)
}

fn changes(notices: &[Notice<Broken>]) -> Vec<(RunState, Event)> {
    let changed = notices.iter().filter_map(|notice| match notice {
        Notice::Changed(change) => Some((change.to, change.cause)),
        _ => None,
    });
    changed.collect()
}

#[test]
fn the_state_follows_the_freshness_of_all_lines() {
    let pins = [Loose::default(), Loose::default()];
    let mut all = controller(&pins, None);
    let mut told = Notices::new();
    all.expire(ms(0), |notice| told.push(notice));
    assert_eq!(
        (all.state(), all.next_deadline()),
        (RunState::Starting, None)
    );
    all.result(&[0.3, 0.3], ms(10), ms(20), |notice| told.push(notice));
    assert_eq!(all.next_deadline(), Some(ms(510)));
    all.expire(ms(510), |notice| told.push(notice));
    assert_eq!(all.next_deadline(), Some(ms(1010)));
    all.expire(ms(1010), |notice| told.push(notice));
    assert_eq!(all.next_deadline(), None);
    all.result(&[0.3, f32::NAN], ms(1020), ms(1020), |notice| {
        told.push(notice)
    });
    all.result(&[0.3, 0.0], ms(1030), ms(1030), |notice| told.push(notice));
    all.fail_safe(ms(1040), |notice| told.push(notice));
    // Nothing brings a line back after that.
    all.result(&[0.3, 0.3], ms(1050), ms(1050), |notice| told.push(notice));
    all.stop(|notice| told.push(notice));
    all.result(&[0.3, 0.3], ms(1060), ms(1060), |notice| told.push(notice));
    assert_eq!(
        changes(&told),
        [
            (RunState::Live, Event::Fresh),
            (RunState::Degraded, Event::Late),
            (RunState::Safe, Event::Silence),
            (RunState::Degraded, Event::Late),
            (RunState::Live, Event::Fresh),
            (RunState::Safe, Event::Failure),
            (RunState::Stopped, Event::Stop),
        ]
    );
    assert!(pins.iter().all(|pin| pin.probe.last() == Low));
}

#[test]
fn a_fault_of_the_source_degrades_for_a_while_and_stops_the_heartbeat() {
    let (pin, heart) = (Loose::default(), Loose::default());
    let mut all = controller(core::slice::from_ref(&pin), Some(&heart));
    let beats = || heart.probe.0.borrow().len();
    let mut told = Notices::new();
    let mut see = |all: &mut Controller<Loose, 4>, at| {
        all.result(&[0.3], ms(at), ms(at), |notice| told.push(notice));
    };
    see(&mut all, 0);
    assert_eq!(beats(), 2);
    all.source_fault(ms(100), |_| {});
    see(&mut all, 100);
    see(&mut all, 1099);
    assert_eq!((all.state(), beats()), (RunState::Degraded, 2));
    see(&mut all, 1100);
    assert_eq!((all.state(), beats()), (RunState::Live, 3));
    // Results too old for the heartbeat or the rule.
    all.result(&[0.3], ms(1101), ms(3000), |_| {});
    assert_eq!((all.state(), beats()), (RunState::Safe, 3));
}

#[test]
fn a_pin_that_fails_is_told_retried_and_degrades_the_run() {
    let pins = [Loose::default(), Loose::default()];
    let mut all = controller(&pins, None);
    let mut told = Notices::new();
    *pins[0].broken.borrow_mut() = true;
    all.result(&[0.3, 0.3], ms(0), ms(0), |notice| told.push(notice));
    assert_eq!(all.state(), RunState::Degraded);
    assert_eq!(all.next_deadline(), Some(RETRY));
    assert_eq!(pins[1].probe.last(), High, "the other line works on");
    all.expire(RETRY, |notice| told.push(notice));
    assert_eq!(all.failing_since(), Some(ms(0)));
    // Where nothing is fresh any more, an unknown level is not called safe.
    all.expire(ms(2000), |notice| told.push(notice));
    assert_eq!(all.state(), RunState::Degraded);
    *pins[0].broken.borrow_mut() = false;
    all.expire(ms(2010), |notice| told.push(notice));
    assert_eq!(all.state(), RunState::Safe);
    assert_eq!(all.failing_since(), None);
    assert_eq!(pins[0].probe.last(), Low);
    let faults = told
        .iter()
        .filter(|notice| matches!(notice, Notice::PinFault { line: Some(0), .. }));
    assert_eq!(faults.count(), 3);
}

#[test]
fn a_broken_heartbeat_stops_no_line() {
    let (pin, heart) = (Loose::default(), Loose::default());
    let mut all = controller(core::slice::from_ref(&pin), Some(&heart));
    *heart.broken.borrow_mut() = true;
    let mut told = Notices::new();
    all.result(&[0.3], ms(0), ms(0), |notice| told.push(notice));
    assert_eq!((all.state(), pin.probe.last()), (RunState::Degraded, High));
    assert!(told.contains(&Notice::PinFault {
        line: None,
        error: Broken
    }));
    assert_eq!(all.next_deadline(), Some(ms(500)));
}

#[test]
fn without_rules_a_result_counts_for_a_second() {
    let mut all = controller(&[], None);
    all.result(&[], ms(0), ms(300), |_| {});
    assert_eq!(
        (all.state(), all.next_deadline()),
        (RunState::Live, Some(PULSE))
    );
    all.expire(PULSE, |_| {});
    assert_eq!((all.state(), all.next_deadline()), (RunState::Safe, None));
}
