//! In time or safe: no pin is at any level but its safe one without a result that is
//! young enough to say so, whatever fails.
//!
//! An oracle judges that knows inputs and pin levels only, each with its time, and
//! nothing of the code that made the one of the other. A failure prints its seed;
//! `ATROUS_SEED` runs it again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use atrous::trigger::{
    Bank, Controller, Heartbeat, HeartbeatSpec, Level, Line, Notice, RATE_RESULTS, RETRY, RuleSpec,
    RunState,
};
use embedded_hal::digital::{ErrorKind, ErrorType, OutputPin};

/// Frames of the schedule.
const FRAMES: u32 = 100_000;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn seed() -> u64 {
    let named = std::env::var("ATROUS_SEED").ok();
    named.map_or(1, |text| text.parse().expect("ATROUS_SEED is a number"))
}

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl embedded_hal::digital::Error for Refused {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// What a pin is, as a voltmeter sees it.
#[derive(Debug)]
struct Copper {
    level: Level,
    /// Writes fail, with or without effect.
    broken: bool,
    takes_effect: bool,
    writes: u64,
}

#[derive(Debug, Clone)]
struct Pin(Rc<RefCell<Copper>>);

impl Pin {
    fn new(level: Level) -> Self {
        Self(Rc::new(RefCell::new(Copper {
            level,
            broken: false,
            takes_effect: false,
            writes: 0,
        })))
    }

    fn level(&self) -> Level {
        self.0.borrow().level
    }

    fn set(&self, level: Level) -> Result<(), Refused> {
        let mut copper = self.0.borrow_mut();
        copper.writes += 1;
        if copper.broken {
            if copper.takes_effect {
                copper.level = level;
            }
            copper.takes_effect = !copper.takes_effect;
            return Err(Refused);
        }
        copper.level = level;
        Ok(())
    }
}

impl ErrorType for Pin {
    type Error = Refused;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Refused> {
        self.set(Level::Low)
    }

    fn set_high(&mut self) -> Result<(), Refused> {
        self.set(Level::High)
    }
}

/// A result as it was given to the rules.
#[derive(Debug, Clone, Copy)]
struct Seen {
    value: f32,
    captured: Duration,
    given: Duration,
}

/// What a pin may show, by inputs alone.
#[derive(Debug)]
struct Oracle {
    spec: RuleSpec,
    /// Results since the lines were taken, oldest first.
    seen: VecDeque<Seen>,
    /// The pin refuses writes; or when it began to take them again.
    broken: bool,
    mended: Option<Duration>,
}

/// How many results back a level may have its cause. The schedule moves every value
/// more often.
const MEMORY: usize = 600;

impl Oracle {
    fn new(spec: RuleSpec) -> Self {
        Self {
            spec,
            seen: VecDeque::new(),
            broken: false,
            mended: None,
        }
    }

    fn give(&mut self, value: f32, captured: Duration, given: Duration) {
        let captured = captured.min(given);
        self.seen.push_back(Seen {
            value,
            captured,
            given,
        });
        if self.seen.len() > MEMORY {
            self.seen.pop_front();
        }
    }

    fn young(&self, seen: &Seen, at: Duration) -> bool {
        let max_age = self.spec.max_age.unwrap_or(Duration::MAX);
        (0.0..=1.0).contains(&seen.value) && at - seen.captured < max_age
    }

    /// Whether results say anything at all at this time.
    fn fresh(&self, at: Duration) -> bool {
        let Some(last) = self.seen.back() else {
            return false;
        };
        let enough = self.spec.min_rate.is_none_or(|rate| {
            let window = Duration::from_secs_f64(RATE_RESULTS as f64 / f64::from(rate));
            let counted = self.seen.iter().filter(|s| self.young(s, s.given));
            counted.filter(|s| at - s.given < window).count() >= RATE_RESULTS
        });
        self.young(last, at) && enough
    }

    /// Whether a stretch of results that all `agree` lasted for the dwell, with nothing
    /// after it that `disagrees` for as long, and without a gap from there to now.
    fn holds(&self, agrees: impl Fn(f32) -> bool, disagrees: impl Fn(f32) -> bool) -> bool {
        let mut newer: Option<&Seen> = None;
        let (mut for_it, mut against): (Option<Duration>, Option<Duration>) = (None, None);
        for seen in self.seen.iter().rev() {
            let max_age = self.spec.max_age.unwrap_or(Duration::MAX);
            let gap = newer.is_some_and(|n| n.captured.saturating_sub(seen.captured) >= max_age);
            if gap || !self.young(seen, seen.given) {
                return false;
            }
            newer = Some(seen);
            let stretch = |end: &mut Option<Duration>, now: bool| {
                // The latest: a stamp that jumped may be behind the one before it.
                *end = now.then(|| end.unwrap_or_default().max(seen.captured));
                end.is_some_and(|end| end.saturating_sub(seen.captured) >= self.spec.dwell)
            };
            if stretch(&mut for_it, agrees(seen.value)) {
                return true;
            }
            if stretch(&mut against, disagrees(seen.value)) {
                return false;
            }
        }
        false
    }

    fn may_be(&self, level: Level, at: Duration) -> bool {
        let spec = &self.spec;
        let mended = self.mended.is_some_and(|mended| at < mended + RETRY);
        if level == spec.safe || self.broken || mended {
            return true;
        }
        let on = |value: f32| value >= spec.on;
        let off = |value: f32| value < spec.off || value == 0.0;
        let said = if level == spec.active {
            self.holds(on, off)
        } else {
            self.holds(off, on)
        };
        self.fresh(at) && said
    }
}

/// One run of the lines: from taking the pins until they are let go.
struct Run {
    controller: Controller<Pin, 4>,
    pins: Vec<Pin>,
    oracles: Vec<Oracle>,
    heart: Pin,
    last_beat: Option<Duration>,
    values: Vec<f32>,
    /// The latest time that was told to the controller.
    at: Duration,
}

/// What the schedule has brought about, so that it is known to have done so.
#[derive(Debug, Default)]
struct Tally {
    samples: u64,
    /// Samples at another level than the safe one.
    unsafe_levels: u64,
    beats: u64,
    expired: u64,
    pin_faults: u64,
    runs: u64,
    states: [u64; 5],
}

const BEAT: HeartbeatSpec = HeartbeatSpec {
    interval: ms(100),
    max_age: ms(700),
};

impl Run {
    fn new(random: &mut Random, at: Duration) -> Self {
        let level = |random: &mut Random| [Level::Low, Level::High][random.below(2) as usize];
        let specs: Vec<RuleSpec> = (0..3)
            .map(|index| RuleSpec {
                on: 0.5,
                off: [0.3, 0.5, 0.0][random.below(3) as usize],
                dwell: ms([0, 50, 200][random.below(3) as usize]),
                active: level(random),
                safe: level(random),
                max_age: Some(ms(100 + random.below(900))),
                min_rate: (index == 2).then(|| 2.0 + random.below(10) as f32),
            })
            .collect();
        let (mut bank, mut pins) = (Bank::new(), Vec::new());
        for spec in &specs {
            spec.check().unwrap();
            let pin = Pin::new(spec.safe.opposite());
            bank.push(Line::new(*spec, pin.clone()).unwrap()).unwrap();
            pins.push(pin);
        }
        let heart = Pin::new(Level::Low);
        let heartbeat = Heartbeat::new(heart.clone(), BEAT).unwrap();
        let mut controller = Controller::new(bank, Some(heartbeat));
        // So that it knows the time from the start.
        controller.expire(at, |_| {});
        Self {
            controller,
            pins,
            oracles: specs.into_iter().map(Oracle::new).collect(),
            heart,
            last_beat: None,
            values: vec![0.0; 3],
            at,
        }
    }

    /// Looks at every pin.
    fn sample(&mut self, at: Duration, tally: &mut Tally) {
        let state = self.controller.state();
        tally.states[state as usize] += 1;
        let quiet = matches!(
            state,
            RunState::Starting | RunState::Safe | RunState::Stopped
        );
        for (index, (pin, oracle)) in self.pins.iter().zip(&self.oracles).enumerate() {
            let level = pin.level();
            tally.samples += 1;
            tally.unsafe_levels += u64::from(level != oracle.spec.safe);
            assert!(
                oracle.may_be(level, at),
                "pin {index} is {level} at {at:?} in state {state}: {:?}, last result {:?}",
                oracle.spec,
                oracle.seen.back()
            );
            let excused = oracle.broken || oracle.mended.is_some_and(|m| at < m + RETRY);
            assert!(
                !quiet || excused || level == oracle.spec.safe,
                "pin {index} is {level} in state {state} at {at:?}"
            );
            assert!(
                state != RunState::Live || oracle.fresh(at),
                "live at {at:?} without a result for pin {index}"
            );
        }
    }

    /// Lets the time pass until just before `until`, doing what is due.
    fn pass(&mut self, until: Duration, tally: &mut Tally) {
        while let Some(due) = self.controller.next_deadline().filter(|due| *due < until) {
            let due = due.max(self.at);
            self.look_before(due, tally);
            self.call(due, tally, |controller, tell| controller.expire(due, tell));
            tally.expired += 1;
        }
        self.look_before(until, tally);
    }

    fn look_before(&mut self, time: Duration, tally: &mut Tally) {
        let before = time.saturating_sub(Duration::from_nanos(1));
        if before > self.at {
            self.sample(before, tally);
        }
    }

    fn call(
        &mut self,
        now: Duration,
        tally: &mut Tally,
        call: impl FnOnce(&mut Controller<Pin, 4>, &mut dyn FnMut(Notice<Refused>)),
    ) {
        // A clock that goes back counts as standing still.
        self.at = self.at.max(now);
        call(&mut self.controller, &mut |notice| {
            tally.pin_faults += u64::from(matches!(notice, Notice::PinFault { .. }));
        });
        self.sample(self.at, tally);
    }

    fn give(&mut self, captured: Duration, now: Duration, tally: &mut Tally) {
        let (values, at) = (self.values.clone(), self.at.max(now));
        for (oracle, &value) in self.oracles.iter_mut().zip(&values) {
            oracle.give(value, captured, at);
        }
        let heart = self.heart.level();
        self.call(now, tally, |controller, tell| {
            controller.result(&values, captured, now, tell);
        });
        if self.heart.level() != heart {
            tally.beats += 1;
            assert!(
                at - captured.min(at) < BEAT.max_age,
                "a beat with an old result"
            );
            assert!(self.oracles.iter().all(|oracle| oracle.fresh(at)));
            assert!(self.last_beat.is_none_or(|last| at - last >= BEAT.interval));
            self.last_beat = Some(at);
        }
    }

    /// Ends the run in one of the ways that runs end.
    fn end(mut self, tally: &mut Tally) {
        let at = self.at;
        for (pin, oracle) in self.pins.iter().zip(&mut self.oracles) {
            pin.0.borrow_mut().broken = false;
            oracle.broken = false;
            oracle.mended = None;
            oracle.seen.clear();
        }
        self.call(at, tally, |controller, tell| controller.fail_safe(at, tell));
        // Whatever is still on its way finds the lines gone.
        self.values.fill(1.0);
        let late = self.values.clone();
        self.call(at, tally, |controller, tell| {
            controller.result(&late, at, at, tell);
        });
        self.call(at, tally, |controller, tell| controller.stop(tell));
        assert_eq!(self.controller.state(), RunState::Stopped);
        tally.runs += 1;
    }
}

/// 100 000 frames in virtual time: stalls of source and engine, frames that are lost
/// or bad, stamps and clocks that jump, values that are none, pins that refuse, and
/// ends of runs by error, panic and stop.
#[test]
fn no_pin_is_unsafe_in_a_hundred_thousand_frames_with_faults() {
    let seed = seed();
    println!("ATROUS_SEED={seed}");
    let mut random = Random(seed);
    let mut tally = Tally::default();
    let mut clock = ms(1_000_000);
    let mut run = Run::new(&mut random, clock);
    for _ in 0..FRAMES {
        // The source: 30 frames a second, more or less, and stalls.
        let gap = match random.below(1000) {
            0..4 => 500 + random.below(3000),
            4..40 => 100 + random.below(400),
            _ => 25 + random.below(15),
        };
        let mut captured = clock + ms(gap);
        // The engine: quick, slow, or stuck for a while.
        let work = match random.below(500) {
            0 => 600 + random.below(3000),
            1..20 => 80 + random.below(200),
            _ => 2 + random.below(25),
        };
        let mut now = captured + ms(work);
        // A pin takes writes again, long before the next result asks for one.
        for (pin, oracle) in run.pins.iter().zip(&mut run.oracles) {
            if oracle.broken && random.one_in(8) {
                pin.0.borrow_mut().broken = false;
                oracle.broken = false;
                oracle.mended = Some(run.at);
            }
        }
        run.pass(now, &mut tally);
        clock = now.max(clock);
        match random.below(400) {
            // The machine slept.
            0 => now += ms(random.below(20_000)),
            // The clock went back.
            1 => now = now.saturating_sub(ms(random.below(2000))),
            // A driver's stamp from nowhere.
            2 => captured = ms(random.below(3_000_000)),
            3 => captured = Duration::from_nanos(random.next()),
            _ => {}
        }
        clock = clock.max(now);
        for (index, value) in run.values.iter_mut().enumerate() {
            match random.below(60 + 20 * index as u64) {
                0 => *value = [0.0, 0.2, 0.3, 0.4, 0.5, 0.8, 1.0][random.below(7) as usize],
                1 if random.one_in(30) => *value = [f32::NAN, -0.5, 1.5][random.below(3) as usize],
                _ => {}
            }
        }
        // Every value moves across both thresholds now and then.
        if random.one_in(200) {
            run.values.fill([0.0, 1.0][random.below(2) as usize]);
        }
        for (pin, oracle) in run.pins.iter().zip(&mut run.oracles) {
            if random.one_in(800) {
                pin.0.borrow_mut().broken = true;
                oracle.broken = true;
            }
        }
        if random.one_in(300) {
            let broken = run.heart.0.borrow().broken;
            run.heart.0.borrow_mut().broken = !broken;
        }
        match random.below(1000) {
            // Bad or lost on the way.
            0..20 => run.call(now, &mut tally, |controller, tell| {
                controller.source_fault(now, tell);
            }),
            // An error or a panic of any thread, or a stop; and a new run after it.
            20..22 => {
                run.end(&mut tally);
                run = Run::new(&mut random, clock);
            }
            _ => run.give(captured, now, &mut tally),
        }
    }
    run.end(&mut tally);
    println!("{tally:?}");
    // The schedule has really been through all of it.
    assert!(tally.unsafe_levels * 5 > tally.samples, "{tally:?}");
    assert!(tally.beats > 1000 && tally.expired > 1000, "{tally:?}");
    assert!(tally.pin_faults > 1000 && tally.runs > 50, "{tally:?}");
    assert!(tally.states.iter().all(|&count| count > 50), "{tally:?}");
}

/// The oracle is no yes-man.
#[test]
fn the_oracle_objects() {
    let spec = RuleSpec {
        on: 0.5,
        off: 0.3,
        dwell: ms(50),
        active: Level::High,
        safe: Level::Low,
        max_age: Some(ms(200)),
        min_rate: None,
    };
    let mut oracle = Oracle::new(spec);
    assert!(oracle.may_be(Level::Low, ms(0)) && !oracle.may_be(Level::High, ms(0)));
    oracle.give(0.9, ms(0), ms(10));
    assert!(!oracle.may_be(Level::High, ms(10)), "no dwell");
    oracle.give(0.9, ms(50), ms(60));
    assert!(oracle.may_be(Level::High, ms(60)));
    oracle.give(0.4, ms(80), ms(90));
    assert!(oracle.may_be(Level::High, ms(90)), "between the thresholds");
    assert!(oracle.may_be(Level::High, ms(279)) && !oracle.may_be(Level::High, ms(280)));
    oracle.give(0.1, ms(100), ms(110));
    oracle.give(0.1, ms(150), ms(160));
    assert!(!oracle.may_be(Level::High, ms(160)), "off for the dwell");
    oracle.give(f32::NAN, ms(170), ms(180));
    assert!(!oracle.may_be(Level::High, ms(180)));
}

#[path = "deadline/threads.rs"]
mod threads;
