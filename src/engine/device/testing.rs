//! What the tests of the passes share.

use tract_onnx::tract_core::internal::*;

/// A tensor of numbers from -2 to 2, the same for the same seed.
pub fn drawn(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 22) as f32 - 2.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_shape(shape, &values).unwrap()
}

/// The first output of a model of one input.
pub fn output(model: &TypedModel, input: &Tensor) -> Tensor {
    let plan = model.clone().into_optimized().unwrap();
    let plan = TypedSimplePlan::new(plan).unwrap();
    let mut outputs = plan.run(tvec!(input.clone().into())).unwrap();
    outputs.remove(0).into_tensor()
}

/// The largest difference between the first outputs of two models.
pub fn largest_difference(one: &TypedModel, other: &TypedModel, input: &Tensor) -> f32 {
    let (one, other) = (output(one, input), output(other, input));
    assert_eq!(one.shape(), other.shape());
    let values = |tensor: &Tensor| -> Vec<f32> {
        let plain = tensor.cast_to::<f32>().unwrap().into_owned();
        plain
            .try_as_plain_ram()
            .unwrap()
            .as_slice::<f32>()
            .unwrap()
            .to_vec()
    };
    let pairs = values(&one).into_iter().zip(values(&other));
    let difference = |(a, b): (f32, f32)| match (a - b).abs() {
        _ if a == b => 0.0,
        // What is no number must not pass for a small difference.
        d if d.is_nan() => f32::INFINITY,
        d => d,
    };
    pairs.map(difference).fold(0.0, f32::max)
}
