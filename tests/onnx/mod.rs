//! Parts of ONNX graphs that tests build.

use tract_onnx::pb::{
    NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto,
    type_proto,
};

/// A constant; `data_type` is ONNX's number, 1 of f32.
pub fn tensor(name: &str, dims: &[i64], data_type: i32, raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type,
        raw_data,
        ..TensorProto::default()
    }
}

/// A list of real numbers; one alone is a scalar.
pub fn floats(name: &str, values: &[f32]) -> TensorProto {
    let dims: &[i64] = match values.len() {
        1 => &[],
        n => &[n as i64],
    };
    let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, dims, 1, raw)
}

/// A node without attributes, named after its operator and its result.
pub fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: format!("{op} {output}"),
        op_type: op.into(),
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// An input or output of real numbers.
pub fn value(name: &str, sides: &[i64]) -> ValueInfoProto {
    let dim = |&side: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(side)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: 1,
        shape: Some(TensorShapeProto {
            dim: sides.iter().map(dim).collect(),
        }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}
