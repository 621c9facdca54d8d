//! Why a class of operations takes far longer than its floor.
//!
//! The sentence is chosen by what the kernels do and by the sizes of the operations.

use super::totals::Totals;
use super::work::Class;

/// How many times its floor a class may take without a word.
pub const EXPLAINED_ABOVE: f64 = 2.0;
/// Operations that take less on average are too small to say more about them.
const SMALL_MS: f64 = 0.005;
/// The same where several threads share an operation and have to be woken for it.
const SMALL_SHARED_MS: f64 = 0.025;
/// Products for a code below which a convolution's other work weighs as much as they do.
const SHALLOW: u64 = 128;

/// A sentence for a class that takes more than [`EXPLAINED_ABOVE`] times its floor.
pub fn why(totals: &Totals, threads: usize) -> Option<String> {
    if totals.ratio()? <= EXPLAINED_ABOVE {
        return None;
    }
    let mean_ms = totals.ms / totals.ops as f64;
    if threads > 1 && mean_ms < SMALL_SHARED_MS {
        return Some(format!(
            "too small: {:.1} us an operation, and to share one among {threads} threads costs as \
             much as its work",
            1e3 * mean_ms
        ));
    }
    if mean_ms < SMALL_MS {
        return Some(format!(
            "too small: {:.1} us an operation, and what is done once a call weighs as much as \
             its work",
            1e3 * mean_ms
        ));
    }
    let cause = cause(totals);
    Some(if is_portable(totals) {
        format!("portable code, without this processor's vector instructions: {cause}")
    } else {
        cause
    })
}

/// Whether portable kernels take most of the time.
fn is_portable(totals: &Totals) -> bool {
    2.0 * totals.portable_ms > totals.ms
}

fn cause(totals: &Totals) -> String {
    let each = (totals.terms as f64 / totals.codes as f64).round() as u64;
    match totals.class {
        Class::Pointwise | Class::Windowed if is_portable(totals) => {
            "its groups have too few channels for the other kernels, or they would not multiply \
             its weights exactly"
                .into()
        }
        Class::Windowed if each < SHALLOW => format!(
            "{each} products for each code: to lay out the pixels under the window and to turn \
             sums into codes takes longer than they do"
        ),
        Class::Pointwise if each < SHALLOW => format!(
            "{each} products for each code: to turn the sum into the code takes as long as they \
             do"
        ),
        Class::Pointwise | Class::Windowed => "nothing in its shapes explains it: see which \
             operations above have few GOP/s, and what else ran on this machine"
            .into(),
        Class::Depthwise => format!(
            "{each} products for each code: loads, bringing the bytes into the order that products \
             take, and turning sums into codes take longer than they do"
        ),
        Class::Input | Class::Map if is_portable(totals) => {
            "each byte is looked up in a table by itself, where a copy moves many at once".into()
        }
        Class::Input | Class::Map => "a vector of bytes takes several look-ups in parts of a \
             table, where a copy takes a load and a store"
            .into(),
        Class::Add | Class::Mul => "each code is made a real number, scaled, rounded and clamped, \
             where a copy only moves it"
            .into(),
        Class::AveragePool => format!("it adds {each} codes for each one that it writes"),
        Class::MaxPool => format!("it compares {each} codes for each one that it writes"),
        Class::Max => "two codes are read for each one that it writes".into(),
        Class::DepthToSpace | Class::Resize if each == 1 => {
            "each pixel is looked for and copied by itself, where a copy moves many at once".into()
        }
        Class::DepthToSpace | Class::Resize => {
            format!("each code is mixed from {each} in 32-bit numbers, where a copy only moves it")
        }
        Class::Argmax => format!(
            "{each} codes are made and compared for each label: many instructions for few bytes"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Class; 13] = [
        Class::Input,
        Class::Pointwise,
        Class::Windowed,
        Class::Depthwise,
        Class::Add,
        Class::Mul,
        Class::Map,
        Class::AveragePool,
        Class::MaxPool,
        Class::Max,
        Class::DepthToSpace,
        Class::Resize,
        Class::Argmax,
    ];

    /// A class that takes so many times its floor of 1 ms, with 9 terms a code.
    fn totals(class: Class, ratio: f64) -> Totals {
        Totals {
            class,
            ops: 2,
            macs: 0,
            codes: 100,
            terms: 900,
            bytes: 1,
            ms: ratio,
            portable_ms: 0.0,
            floor_ms: Some(1.0),
        }
    }

    #[test]
    fn every_class_far_above_its_floor_has_a_sentence_and_no_other() {
        for class in ALL {
            for threads in [1, 4] {
                assert_eq!(why(&totals(class, 2.0), threads), None);
                let sentence = why(&totals(class, 2.1), threads).unwrap();
                assert!(!sentence.is_empty() && !sentence.contains("small"));
            }
        }
        let unknown = Totals {
            floor_ms: None,
            ..totals(Class::Pointwise, 100.0)
        };
        assert_eq!(why(&unknown, 1), None);
    }

    #[test]
    fn products_for_a_code_decide_about_a_convolution() {
        for class in [Class::Pointwise, Class::Windowed] {
            let shallow = totals(class, 3.0);
            assert!(why(&shallow, 1).unwrap().starts_with("9 products"));
            let deep = Totals {
                terms: 100 * SHALLOW,
                ..shallow
            };
            assert!(why(&deep, 1).unwrap().contains("nothing in its shapes"));
            let portable = Totals {
                portable_ms: 2.0,
                ..deep
            };
            let sentence = why(&portable, 1).unwrap();
            assert!(sentence.starts_with("portable code") && sentence.contains("groups"));
        }
    }

    #[test]
    fn code_that_is_portable_for_the_lesser_part_is_not_blamed() {
        let mostly = |portable_ms| Totals {
            portable_ms,
            ..totals(Class::AveragePool, 4.0)
        };
        assert_eq!(
            why(&mostly(1.9), 1).unwrap(),
            "it adds 9 codes for each one that it writes"
        );
        assert!(why(&mostly(2.1), 1).unwrap().starts_with("portable"));
    }

    #[test]
    fn small_operations_are_told_and_with_threads_larger_ones_too() {
        let of_ms = |ms: f64| Totals {
            ms,
            ops: 10,
            floor_ms: Some(ms / 3.0),
            ..totals(Class::Map, 3.0)
        };
        let tiny = of_ms(0.02);
        assert!(why(&tiny, 1).unwrap().contains("too small: 2.0 us"));
        let small = of_ms(0.1);
        assert!(!why(&small, 1).unwrap().contains("too small"));
        assert!(why(&small, 4).unwrap().contains("among 4 threads"));
    }
}
