//! Which classes are scored, and what the values of labels and predictions mean in them.

use std::str::FromStr;

use anyhow::Result;

use atrous::classes::{Class, Classes, MAX_CLASSES};
use atrous::eval::LabelMap;
use atrous::model::Manifest;
use atrous::model::manifest;

use super::super::exit::Misused;

/// What is sent where: `FROM:TO,FROM:TO`, each 0 to 255, each FROM once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pairs(Vec<(u8, u8)>);

impl FromStr for Pairs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pairs: Vec<(u8, u8)> = Vec::new();
        for item in text.split(',').map(str::trim) {
            let pair = item
                .split_once(':')
                .and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?)));
            let Some((from, to)) = pair else {
                return Err(format!(
                    "'{item}' is not FROM:TO, two numbers from 0 to 255, such as 7:0,8:1"
                ));
            };
            if pairs.iter().any(|&(other, _)| other == from) {
                return Err(format!("{from} is mapped twice"));
            }
            pairs.push((from, to));
        }
        Ok(Self(pairs))
    }
}

/// What the command line says about classes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SchemeArgs {
    /// Label values that mark pixels which count nowhere, such as 11 or 11,255. The manifest's
    /// ignore_index is one of them. Any other value that is no class is an error.
    #[arg(
        long,
        value_name = "VALUES",
        value_delimiter = ',',
        requires = "labels"
    )]
    ignore: Vec<u8>,
    /// What label values mean: FROM:TO,FROM:TO, a value and the class's number, all at once. A
    /// value that is not named keeps its number.
    #[arg(long, value_name = "PAIRS", requires = "labels")]
    map: Option<Pairs>,
    /// What the model's classes mean where they are not those of the labels, in the same form.
    /// What is scored are then the classes of --names, of OTHER where it is not mapped, or
    /// as many as the maps lead to.
    #[arg(long, value_name = "PAIRS")]
    map_predictions: Option<Pairs>,
    /// The same for the classes of the model after --against.
    #[arg(long, value_name = "PAIRS", requires = "against")]
    map_against: Option<Pairs>,
    /// Names of the classes that are scored, in order, comma separated: for a model without a
    /// manifest, and for mapped classes.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    names: Vec<String>,
}

/// The classes that are scored, and the way there.
#[derive(Debug, Clone)]
pub struct Scheme {
    /// The classes.
    pub classes: Classes,
    /// From the values of a label.
    pub labels: LabelMap,
    /// From the model's classes.
    pub predictions: LabelMap,
    /// From the other model's classes.
    pub against: LabelMap,
    ignored: Vec<u8>,
}

impl Scheme {
    /// Settles the classes for a model, and another one that it is compared with.
    pub fn new(args: &SchemeArgs, model: &Manifest, other: Option<&Manifest>) -> Result<Self> {
        let classes = classes(args, model, other)?;
        let count = classes.len();
        let mut labels = LabelMap::identity(count);
        let mut ignored = args.ignore.clone();
        if let Some(value) = model.output.ignore_index
            && !ignored.contains(&value)
        {
            ignored.push(value);
        }
        ignored.iter().for_each(|&value| labels.ignore(value));
        for &(from, to) in args.map.iter().flat_map(|pairs| &pairs.0) {
            if args.ignore.contains(&from) {
                return misused(format!("--map {from}:{to}: --ignore has {from}, too"));
            }
            check_target("--map", from, to, &classes)?;
            labels.send(from, to);
        }
        let map = |flag: &str, pairs: &Option<Pairs>, of: usize| -> Result<LabelMap> {
            let mut map = LabelMap::identity(count);
            for &(from, to) in pairs.iter().flat_map(|pairs| &pairs.0) {
                if usize::from(from) >= of {
                    return misused(format!(
                        "{flag} {from}:{to}: the model has {of} classes, 0 to {}",
                        of - 1
                    ));
                }
                check_target(flag, from, to, &classes)?;
                map.send(from, to);
            }
            Ok(map)
        };
        let others = other.map_or(MAX_CLASSES, |other| other.classes.len());
        Ok(Self {
            predictions: map(
                "--map-predictions",
                &args.map_predictions,
                model.classes.len(),
            )?,
            against: map("--map-against", &args.map_against, others)?,
            labels,
            classes,
            ignored,
        })
    }

    /// What to do about a value of a label that is no class.
    pub fn unknown_label(&self, value: u8) -> String {
        let mut ignored = self.ignored.clone();
        ignored.push(value);
        ignored.sort_unstable();
        let ignored: Vec<String> = ignored.iter().map(u8::to_string).collect();
        format!(
            "{}; if it marks pixels that do not count: --ignore {}; if it is one of these \
             classes: --map {value}:CLASS",
            range(&self.classes),
            ignored.join(",")
        )
    }

    /// What to do about a prediction that is none of the classes, made by a model whose map
    /// is given by `flag`.
    pub fn unknown_prediction(&self, value: u8, flag: &str) -> String {
        format!("{}: {flag} {value}:CLASS", range(&self.classes))
    }
}

fn misused<T>(text: String) -> Result<T> {
    Err(Misused(text).into())
}

fn check_target(flag: &str, from: u8, to: u8, classes: &Classes) -> Result<()> {
    if usize::from(to) < classes.len() {
        return Ok(());
    }
    misused(format!(
        "{flag} {from}:{to}: there is no class {to}; {}: {}",
        range(classes),
        classes.names()
    ))
}

/// Which numbers are classes.
fn range(classes: &Classes) -> String {
    match classes.len() {
        1 => "the only class that is scored is 0".into(),
        count => format!("the classes that are scored are 0 to {}", count - 1),
    }
}

fn classes(args: &SchemeArgs, model: &Manifest, other: Option<&Manifest>) -> Result<Classes> {
    let own = args.map_predictions.is_none().then_some(&model.classes);
    let others = || {
        let unmapped = other.filter(|_| args.map_against.is_none());
        unmapped.map(|other| &other.classes)
    };
    let known = own.or_else(others);
    if args.names.is_empty() {
        return Ok(known.cloned().unwrap_or_else(|| {
            let maps = args.map_predictions.iter().chain(&args.map_against);
            let targets = maps.flat_map(|pairs| &pairs.0).map(|&(_, to)| to);
            let last = usize::from(targets.max().unwrap_or_default());
            Classes::new((0..=last).map(manifest::numbered).collect())
        }));
    }
    if args.names.len() > MAX_CLASSES {
        return misused(format!(
            "--names: at most {MAX_CLASSES} classes can be told apart"
        ));
    }
    let named = |(index, name): (usize, &String)| {
        let class = known.and_then(|known| known.iter().nth(index).cloned());
        Class {
            name: name.trim().to_owned(),
            ..class.unwrap_or_else(|| manifest::numbered(index))
        }
    };
    let classes = Classes::new(args.names.iter().enumerate().map(named).collect());
    for (index, class) in classes.iter().enumerate() {
        if class.name.is_empty() {
            return misused(format!("--names: the name of class {index} is empty"));
        }
        if classes.find(&class.name).map(usize::from) != Some(index) {
            return misused(format!("--names: '{}' appears twice", class.name));
        }
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(classes: usize, ignore: &str) -> Manifest {
        let mut text = format!(
            "format = 1\nname = \"m\"\nfile = \"m.onnx\"\nsha256 = \"{}\"\nlicence = \"MIT\"\n\
             [input]\nwidth = 8\nheight = 8\nlayout = \"nchw\"\ndtype = \"f32\"\n\
             [output]\nkind = \"logits\"\n{ignore}\n",
            "0".repeat(64)
        );
        for class in 0..classes {
            text += &format!("[[class]]\nname = \"c{class}\"\ncolour = [{class}, 0, 0]\n");
        }
        Manifest::parse(&text, "m.toml").unwrap()
    }

    fn args(map_predictions: &str, names: &[&str]) -> SchemeArgs {
        SchemeArgs {
            map_predictions: map_predictions.parse().ok(),
            names: names.iter().map(|&name| name.into()).collect(),
            ..SchemeArgs::default()
        }
    }

    #[test]
    fn pairs_are_read_strictly() {
        assert_eq!("0:3, 1 : 4".parse(), Ok(Pairs(vec![(0, 3), (1, 4)])));
        for (text, word) in [
            ("", "FROM:TO"),
            ("1", "FROM:TO"),
            ("1:2,", "FROM:TO"),
            ("256:1", "255"),
            ("-1:1", "255"),
            ("1:2:3", "FROM:TO"),
            ("1:2,1:3", "1 is mapped twice"),
        ] {
            let error = text.parse::<Pairs>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn the_classes_are_those_that_are_not_mapped() {
        let (model, other) = (manifest(3, ""), manifest(5, ""));
        let settled = |args: &SchemeArgs, other| {
            let scheme = Scheme::new(args, &model, other).unwrap();
            scheme.classes.names()
        };
        assert_eq!(settled(&args("", &[]), Some(&other)), "c0, c1, c2");
        assert_eq!(
            settled(&args("0:4", &[]), Some(&other)),
            "c0, c1, c2, c3, c4"
        );
        assert_eq!(settled(&args("0:1", &[]), None), "class 0, class 1");
        let mut both = args("0:1", &[]);
        both.map_against = "0:2".parse().ok();
        assert_eq!(settled(&both, Some(&other)), "class 0, class 1, class 2");
        assert_eq!(settled(&args("0:1", &["a", "b"]), Some(&other)), "a, b");
        let renamed = Scheme::new(&args("", &["a", " b"]), &model, None).unwrap();
        assert_eq!(renamed.classes.name(1), "b");
        assert_eq!(renamed.classes.colour(1), [1, 0, 0]);
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let model = manifest(3, "ignore_index = 9");
        let refused = |args: SchemeArgs, words: &[&str]| {
            let error = Scheme::new(&args, &model, None).unwrap_err();
            assert!(error.is::<Misused>());
            for word in words {
                let error = error.to_string();
                assert!(error.contains(word), "{error}");
            }
        };
        refused(args("3:0", &[]), &["--map-predictions 3:0", "3 classes"]);
        refused(args("0:2", &["a", "b"]), &["no class 2", "0 to 1", "a, b"]);
        refused(args("", &["a", "A"]), &["--names", "twice"]);
        refused(args("", &["a", " "]), &["--names", "empty"]);
        let mut labels = args("", &[]);
        labels.map = "4:3".parse().ok();
        refused(labels.clone(), &["--map 4:3", "0 to 2", "c0, c1, c2"]);
        labels.map = "4:2".parse().ok();
        labels.ignore = vec![4];
        refused(labels.clone(), &["--map 4:2", "--ignore"]);

        labels.ignore = vec![5];
        let scheme = Scheme::new(&labels, &model, None).unwrap();
        let (mut values, mut judged) = ([4, 5, 9, 0], Vec::new());
        scheme.labels.apply(&mut values, &mut judged).unwrap();
        assert_eq!((values[0], values[3]), (2, 0));
        assert_eq!(judged, [true, false, false, true]);
        assert!(scheme.unknown_label(7).contains("--ignore 5,7,9;"));
    }
}
