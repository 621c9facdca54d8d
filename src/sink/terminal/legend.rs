//! The lines below the picture.

use super::canvas::Canvas;
use super::colour::{ColourMode, Pen};
use super::letters::letters;
use crate::classes::Classes;
use crate::sink::Outcome;

/// The classes that cover most, biggest first, as many as fit into a line: a
/// sample of the colour (or the letter), name and per cent.
pub fn legend(outcome: &Outcome, classes: &Classes, canvas: Canvas) -> String {
    let shares = outcome.coverage.iter().copied().enumerate();
    let mut shares: Vec<(usize, f32)> = shares.filter(|&(_, share)| share > 0.0).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let letters = letters(classes);
    let (mut line, mut used) = (String::new(), 0);
    let mut pen = Pen::new(canvas.mode);
    for (label, share) in shares {
        let Ok(label) = u8::try_from(label) else {
            continue;
        };
        let name = printable(classes.name(label));
        let gap = if used == 0 { 0 } else { 2 };
        let words = format!("{name} {:.0}%", share * 100.0);
        // Two columns for the sample and its space or sign.
        let width = gap + 2 + words.chars().count();
        if used + width > canvas.width() {
            break;
        }
        used += width;
        line.extend(std::iter::repeat_n(' ', gap));
        if canvas.mode == ColourMode::Letters {
            line.push(letters[usize::from(label)]);
            line.push('=');
        } else {
            pen.fore(&mut line, classes.colour(label));
            line.push('█');
            pen.reset(&mut line);
            line.push(' ');
        }
        line.push_str(&words);
    }
    line
}

/// One line of at most `width` columns: count, rate, age, time of the model,
/// frames not looked at, and the rules.
pub fn status(outcome: &Outcome, per_second: Option<f64>, width: usize) -> String {
    let mut words = vec![format!("#{}", outcome.index)];
    words.extend(per_second.map(|rate| format!("{rate:.1} fps")));
    words.push(format!("age {:.0} ms", outcome.age().as_secs_f64() * 1e3));
    words.push(format!(
        "model {:.0} ms",
        outcome.stages.inference.as_secs_f64() * 1e3
    ));
    let counters = &outcome.counters;
    for (word, count) in [
        ("superseded", counters.superseded),
        ("lost", counters.driver_lost),
        ("bad", counters.bad),
        ("undelivered", counters.undelivered),
    ] {
        if count > 0 {
            words.push(format!("{word} {count}"));
        }
    }
    for rule in &outcome.rules {
        let state = if rule.active { "ON" } else { "off" };
        words.push(format!(
            "{} {state} {:.0}%",
            printable(&rule.name),
            rule.fraction * 100.0
        ));
    }
    words.join("  ").chars().take(width).collect()
}

/// Without control characters: a name from a file must not drive the terminal.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;
    use crate::sink::{Counters, RuleState};

    fn canvas(columns: u16) -> Canvas {
        Canvas {
            columns,
            rows: 24,
            mode: ColourMode::Letters,
            alpha: 0.5,
        }
    }

    fn classes() -> Classes {
        let class = |name: &str| Class {
            name: name.into(),
            colour: [0; 3],
        };
        Classes::new(vec![class("sky"), class("road"), class("c\x1b[2Jar")])
    }

    #[test]
    fn the_biggest_come_first_and_nothing_wraps() {
        let coverage = vec![0.25, 0.6, 0.15, f32::NAN, 0.0];
        let outcome = Outcome {
            coverage,
            ..Outcome::default()
        };
        let line = legend(&outcome, &classes(), canvas(80));
        assert_eq!(line, "r=road 60%  s=sky 25%  c=c[2Jar 15%");
        assert_eq!(legend(&outcome, &classes(), canvas(20)), "r=road 60%");
        assert_eq!(legend(&outcome, &classes(), canvas(3)), "");
    }

    #[test]
    fn the_status_tells_what_matters() {
        let rule = RuleState {
            name: "near\n".into(),
            fraction: 0.251,
            active: true,
        };
        let outcome = Outcome {
            index: 9,
            rules: vec![rule],
            counters: Counters {
                superseded: 4,
                ..Counters::default()
            },
            ..Outcome::default()
        };
        let line = status(&outcome, Some(12.34), 80);
        assert_eq!(
            line,
            "#9  12.3 fps  age 0 ms  model 0 ms  superseded 4  near ON 25%"
        );
        assert_eq!(status(&outcome, None, 5), "#9  a");
    }
}
