//! Constants of an ONNX graph: decoding and folding.

use tract_onnx::pb::{NodeProto, TensorProto};

/// Elements in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    F32(Vec<f32>),
    U8(Vec<u8>),
    I8(Vec<i8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

/// A constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    pub shape: Vec<usize>,
    pub data: Data,
}

impl Constant {
    /// Decodes a stored tensor of a type that the compiler needs; 16-bit floats
    /// become 32-bit ones. `None` for any other type and where the number of
    /// elements does not fit the shape.
    pub fn decode(tensor: &TensorProto) -> Option<Self> {
        let shape = tensor
            .dims
            .iter()
            .map(|&d| usize::try_from(d).ok())
            .collect::<Option<Vec<_>>>()?;
        let raw = tensor.raw_data.as_slice();
        let is_raw = !raw.is_empty();
        let bytes = || tensor.int32_data.iter().map(|&v| v as u8);
        // The numbers of `TensorProto.DataType` in onnx.proto.
        let data = match tensor.data_type {
            1 if is_raw => Data::F32(words(raw, f32::from_le_bytes)),
            1 => Data::F32(tensor.float_data.clone()),
            2 if is_raw => Data::U8(raw.to_vec()),
            2 => Data::U8(bytes().collect()),
            3 if is_raw => Data::I8(raw.iter().map(|&b| b as i8).collect()),
            3 => Data::I8(bytes().map(|b| b as i8).collect()),
            6 if is_raw => Data::I32(words(raw, i32::from_le_bytes)),
            6 => Data::I32(tensor.int32_data.clone()),
            7 if is_raw => Data::I64(words(raw, i64::from_le_bytes)),
            7 => Data::I64(tensor.int64_data.clone()),
            10 if is_raw => Data::F32(words(raw, |b| half(u16::from_le_bytes(b)))),
            10 => Data::F32(tensor.int32_data.iter().map(|&v| half(v as u16)).collect()),
            _ => return None,
        };
        let constant = Self { shape, data };
        let elements = constant
            .shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d));
        (elements == Some(constant.len())).then_some(constant)
    }

    /// The value of a Constant node; `None` where it is of a type that the compiler does not
    /// need.
    pub fn of_node(node: &NodeProto) -> Option<Self> {
        let value = |name: &str| node.attribute.iter().find(|a| a.name == name);
        if let Some(tensor) = value("value").and_then(|a| a.t.as_ref()) {
            return Self::decode(tensor);
        }
        let list = |len, data| Self {
            shape: vec![len],
            data,
        };
        let one = |data| Self {
            shape: vec![],
            data,
        };
        if let Some(a) = value("value_float") {
            Some(one(Data::F32(vec![a.f])))
        } else if let Some(a) = value("value_floats") {
            Some(list(a.floats.len(), Data::F32(a.floats.clone())))
        } else if let Some(a) = value("value_int") {
            Some(one(Data::I64(vec![a.i])))
        } else {
            value("value_ints").map(|a| list(a.ints.len(), Data::I64(a.ints.clone())))
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::F32(v) => v.len(),
            Data::U8(v) => v.len(),
            Data::I8(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::I64(v) => v.len(),
        }
    }

    /// The elements of a float constant.
    pub fn floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The elements of an integer constant.
    pub fn integers(&self) -> Option<Vec<i64>> {
        match &self.data {
            Data::F32(_) => None,
            Data::U8(v) => Some(v.iter().map(|&x| x.into()).collect()),
            Data::I8(v) => Some(v.iter().map(|&x| x.into()).collect()),
            Data::I32(v) => Some(v.iter().map(|&x| x.into()).collect()),
            Data::I64(v) => Some(v.clone()),
        }
    }

    /// The one element of a float constant.
    pub fn float(&self) -> Option<f32> {
        match self.floats()? {
            [value] => Some(*value),
            _ => None,
        }
    }

    /// Converted to another element type, by the numbers of
    /// `TensorProto.DataType`; `None` for conversions that models do not need.
    pub fn cast(&self, to: i64) -> Option<Self> {
        let data = match (to, &self.data) {
            (1, Data::F32(v)) => Data::F32(v.clone()),
            (1, _) => Data::F32(self.integers()?.into_iter().map(|v| v as f32).collect()),
            (6, _) => Data::I32(self.integers()?.into_iter().map(|v| v as i32).collect()),
            (7, _) => Data::I64(self.integers()?),
            _ => return None,
        };
        Some(Self {
            shape: self.shape.clone(),
            data,
        })
    }
}

fn words<const N: usize, T>(raw: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|&c| decode(c)).collect()
}

/// An IEEE 754 half to a float, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let fraction = f32::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    };
    sign * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_and_typed_data_decode_alike() {
        let raw = TensorProto {
            dims: vec![2],
            data_type: 6,
            raw_data: vec![1, 0, 0, 0, 255, 255, 255, 255],
            ..Default::default()
        };
        let typed = TensorProto {
            dims: vec![2],
            data_type: 6,
            int32_data: vec![1, -1],
            ..Default::default()
        };
        let constant = Constant::decode(&raw).unwrap();
        assert_eq!(constant.data, Data::I32(vec![1, -1]));
        assert_eq!(Constant::decode(&typed), Some(constant));
    }

    #[test]
    fn data_in_the_wrong_field_is_refused() {
        let tensor = TensorProto {
            dims: vec![2],
            data_type: 1,
            int32_data: vec![1, 2],
            ..Default::default()
        };
        assert_eq!(Constant::decode(&tensor), None);
    }

    #[test]
    fn halves_are_exact() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan());
    }
}
