//! A node's attributes and inputs, and constants that are folded.

use tract_onnx::pb::NodeProto;

use super::super::constant::Constant;
use super::super::shape;
use super::{Operator, SourceId, SourceValue};

/// A node that was read: what it is and the shape of its output.
pub struct Read {
    pub operator: Operator,
    pub shape: Vec<usize>,
}

/// Why a node was not read.
pub enum Unread {
    Unsupported(String),
    Shape(String),
}

pub fn unsupported<T>(reason: impl Into<String>) -> Result<T, Unread> {
    Err(Unread::Unsupported(reason.into()))
}

pub fn misshapen<T>(reason: impl Into<String>) -> Result<T, Unread> {
    Err(Unread::Shape(reason.into()))
}

/// What a node was found to be.
pub enum Done {
    Folded(Constant),
    Read(Read),
}

/// A node with what is known of its inputs: every one has a shape.
pub struct View<'a> {
    values: &'a [SourceValue],
    pub node: &'a NodeProto,
    pub inputs: &'a [Option<SourceId>],
}

impl<'a> View<'a> {
    pub fn new(
        values: &'a [SourceValue],
        node: &'a NodeProto,
        inputs: &'a [Option<SourceId>],
    ) -> Self {
        Self {
            values,
            node,
            inputs,
        }
    }

    fn value(&self, index: usize) -> Option<&SourceValue> {
        let id = self.inputs.get(index).copied().flatten()?;
        Some(&self.values[id.0])
    }

    /// Whether an optional input is given.
    pub fn has(&self, index: usize) -> bool {
        self.value(index).is_some()
    }

    pub fn shape(&self, index: usize) -> Result<&[usize], Unread> {
        match self.value(index).and_then(|value| value.shape.as_deref()) {
            Some(shape) => Ok(shape),
            None => misshapen(format!("input {index} is missing")),
        }
    }

    pub fn constant(&self, index: usize) -> Option<&Constant> {
        self.value(index)?.constant.as_ref()
    }

    /// A constant that the operator must know when it is compiled.
    pub fn known(&self, index: usize, what: &str) -> Result<&Constant, Unread> {
        match self.constant(index) {
            Some(constant) => Ok(constant),
            None => unsupported(format!("its {what} is not a constant")),
        }
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        found.map_or(default, |a| a.i)
    }

    pub fn float(&self, name: &str, default: f32) -> f32 {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        found.map_or(default, |a| a.f)
    }

    pub fn ints(&self, name: &str) -> &[i64] {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        found.map_or(&[], |a| &a.ints)
    }

    pub fn text(&self, name: &str, default: &'static str) -> &str {
        let found = self.node.attribute.iter().find(|a| a.name == name);
        found.map_or(default, |a| std::str::from_utf8(&a.s).unwrap_or("?"))
    }

    pub fn axis(&self, default: i64, rank: usize) -> Result<usize, Unread> {
        let axis = self.int("axis", default);
        match shape::axis(axis, rank) {
            Some(axis) => Ok(axis),
            None => misshapen(format!("axis {axis} of a tensor of {rank} axes")),
        }
    }

    /// Axes of a tensor of `rank` axes: a constant input of newer operator sets, an
    /// attribute of older ones. `None` where neither is given.
    pub fn axes(&self, input: usize, rank: usize) -> Result<Option<Vec<usize>>, Unread> {
        let stored;
        let axes = if self.has(input) {
            stored = self.known(input, "axes")?.integers().unwrap_or_default();
            stored.as_slice()
        } else {
            self.ints("axes")
        };
        if axes.is_empty() {
            return Ok(None);
        }
        let counted: Option<Vec<usize>> = axes.iter().map(|&a| shape::axis(a, rank)).collect();
        match counted {
            Some(counted) => Ok(Some(counted)),
            None => misshapen(format!("axes {axes:?} of a tensor of {rank} axes")),
        }
    }

    pub fn fold_or_read(&self) -> Result<Done, Unread> {
        match self.folded()? {
            Some(constant) => Ok(Done::Folded(constant)),
            None => self.read().map(Done::Read),
        }
    }

    /// The node's value where it is a constant of a kind that models compute
    /// instead of storing.
    fn folded(&self) -> Result<Option<Constant>, Unread> {
        if self.node.op_type == "Constant" {
            return match Constant::of_node(self.node) {
                Some(constant) => Ok(Some(constant)),
                None => unsupported("a constant of this type"),
            };
        }
        let Some(input) = self.constant(0) else {
            return Ok(None);
        };
        let folded = match self.node.op_type.as_str() {
            "Identity" => Some(input.clone()),
            "Cast" => input.cast(self.int("to", 0)),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => Some(Constant {
                shape: self.reshaped()?,
                data: input.data.clone(),
            }),
            _ => return Ok(None),
        };
        match folded {
            Some(constant) => Ok(Some(constant)),
            None => unsupported("of a constant of this type"),
        }
    }

    /// The shape that a Reshape or one of its kind gives.
    pub fn reshaped(&self) -> Result<Vec<usize>, Unread> {
        let input = self.shape(0)?;
        match self.node.op_type.as_str() {
            "Flatten" => {
                let given = self.int("axis", 1);
                // Behind the last axis is a place too.
                let axis = match shape::axis(given, input.len()) {
                    Some(axis) => axis,
                    None if usize::try_from(given) == Ok(input.len()) => input.len(),
                    None => return misshapen(format!("axis {given} of {input:?}")),
                };
                let (rows, columns) = input.split_at(axis);
                Ok(vec![rows.iter().product(), columns.iter().product()])
            }
            "Squeeze" => {
                let given = self.axes(1, input.len())?;
                let goes = |i: usize| match &given {
                    Some(axes) => axes.contains(&i),
                    None => input[i] == 1,
                };
                if (0..input.len()).any(|i| goes(i) && input[i] != 1) {
                    return misshapen(format!("{input:?} has more than 1 along a squeezed axis"));
                }
                let stays = |i: &usize| !goes(*i);
                Ok((0..input.len()).filter(stays).map(|i| input[i]).collect())
            }
            "Unsqueeze" => {
                let added = if self.has(1) {
                    self.known(1, "axes")?.len()
                } else {
                    self.ints("axes").len()
                };
                let rank = input.len().saturating_add(added);
                let axes = self.axes(1, rank)?.unwrap_or_default();
                let mut sides = input.iter();
                let shape: Option<Vec<usize>> = (0..rank)
                    .map(|i| match axes.contains(&i) {
                        true => Some(1),
                        false => sides.next().copied(),
                    })
                    .collect();
                match shape {
                    Some(shape) if sides.next().is_none() => Ok(shape),
                    _ => misshapen(format!("axes {axes:?} cannot be added to {input:?}")),
                }
            }
            _ => {
                let target = match self.constant(1) {
                    Some(constant) => constant.integers().unwrap_or_default(),
                    None => self.ints("shape").to_vec(),
                };
                match shape::reshaped(input, &target) {
                    Some(shape) => Ok(shape),
                    None => misshapen(format!("{input:?} cannot become {target:?}")),
                }
            }
        }
    }
}
