//! A letter for every class, where there is no colour.

use crate::classes::Classes;

const SPARE: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// One character for each label. A class gets the first letter of its name that
/// no class before it has, small or large, or else a spare one; `background` is
/// a dot, and a label without a class, or beyond the spares, a question mark.
pub fn letters(classes: &Classes) -> [char; 256] {
    let mut letters = ['?'; 256];
    let mut used: Vec<char> = Vec::new();
    for (letter, class) in letters.iter_mut().zip(classes.iter()) {
        let own = class.name.chars().filter(char::is_ascii_alphanumeric);
        let small = own.clone().map(|c| c.to_ascii_lowercase());
        let large = own.map(|c| c.to_ascii_uppercase());
        let mut choices = small.chain(large).chain(SPARE.chars());
        *letter = if class.name.eq_ignore_ascii_case("background") {
            '.'
        } else {
            choices.find(|c| !used.contains(c)).unwrap_or('?')
        };
        used.push(*letter);
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classes::Class;

    #[test]
    fn letters_differ_and_remind_of_the_name() {
        let class = |name: &str| Class {
            name: name.into(),
            colour: [0; 3],
        };
        let names = ["background", "car", "cat", "c", "Road", "日本"];
        let letters = letters(&Classes::new(names.map(class).to_vec()));
        assert_eq!(letters[..7], ['.', 'c', 'a', 'C', 'r', 'b', '?']);
    }

    #[test]
    fn more_classes_than_letters_share_the_question_mark() {
        let class = |_| Class {
            name: "x".into(),
            colour: [0; 3],
        };
        let letters = letters(&Classes::new((0..256).map(class).collect()));
        assert_eq!(letters[255], '?');
    }
}
