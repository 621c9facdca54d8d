//! The line of figures that a run prints each second.

use std::time::Duration;

use atrous::pipeline::stats::Snapshot;

/// One line: rate, counts, ages, where the time goes.
pub fn format(snapshot: &Snapshot) -> String {
    let c = &snapshot.counters;
    let mut line = format!(
        "{:5.1} fps  in {}  results {}  superseded {}  lost {}  bad {}",
        snapshot.rate, c.frames_in, c.inferred, c.superseded, c.driver_lost, c.bad
    );
    if c.undelivered > 0 {
        line += &format!("  undelivered {}", c.undelivered);
    }
    if let Some(age) = &snapshot.age {
        line += &format!(
            "  age p50 {} p95 {} max {} ms",
            ms(age.p50),
            ms(age.p95),
            ms(age.max)
        );
        let s = &snapshot.stages;
        line += &format!(
            "  (prepare {} + model {} + finish {} ms)",
            ms(s.preprocess),
            ms(s.inference),
            ms(s.postprocess)
        );
    }
    line
}

fn ms(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}
