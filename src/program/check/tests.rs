use proptest::prelude::*;
use serde_json::Value;

use super::sample::*;
use super::*;
use crate::program::{Constants, Coordinates, Resample, Residual};

fn fault(change: impl FnOnce(&mut Program)) -> String {
    let mut program = program();
    change(&mut program);
    program.check().unwrap_err().to_string()
}

type Change = fn(&mut Program);

/// One change to the sample after another, each with words of the error it gives.
fn refuses(cases: &[(Change, &str)]) {
    for (change, words) in cases {
        let error = fault(change);
        assert!(error.contains(words), "'{words}' is not in: {error}");
    }
}

fn tensor(program: &mut Program, id: TensorId) -> &mut Tensor {
    &mut program.tensors[id.0 as usize]
}

/// The first convolution, 9x7x3 to 5x4x4 with a kernel of 3x3.
fn stem(program: &mut Program) -> &mut Conv {
    conv(program, 1)
}

fn conv(program: &mut Program, index: usize) -> &mut Conv {
    match &mut program.ops[index] {
        Op::Conv(conv) => conv,
        other => panic!("{other:?}"),
    }
}

/// Writes a number over the constants.
fn poke(program: &mut Program, span: Span, element: usize, bytes: [u8; 4]) {
    let mut constants = program.constants.to_vec();
    let at = usize::try_from(span.offset).unwrap() + 4 * element;
    constants[at..at + 4].copy_from_slice(&bytes);
    program.constants = Constants::from(constants);
}

#[test]
fn the_sample_is_valid() {
    program().check().unwrap();
}

/// The sample with an operation and the tensor it writes before the choice of the class.
fn with(size: [u32; 3], op: impl FnOnce(TensorId) -> Op) -> Program {
    let mut program = program();
    let id = TensorId(program.tensors.len() as u32);
    let like = program.tensors[FINE.0 as usize].clone();
    program.tensors.push(Tensor {
        name: "more".into(),
        width: size[0],
        height: size[1],
        channels: size[2],
        pixel_stride: size[2],
        offset: program.arena_bytes,
        ..like
    });
    program.arena_bytes += size.iter().map(|&s| u64::from(s)).product::<u64>();
    let at = program.ops.len() - 1;
    program.ops.insert(at, op(id));
    program
}

#[test]
fn channels_become_pixels_where_they_fit() {
    let moved = |size, block, begin| {
        with(size, |output| Op::DepthToSpace {
            input: FINE,
            output,
            block,
            begin,
        })
        .check()
        .map_err(|error| error.to_string())
    };
    // FINE is 9x7x3.
    moved([9, 7, 3], [1, 1], [0, 0]).unwrap();
    moved([27, 7, 1], [1, 3], [0, 0]).unwrap();
    moved([20, 6, 1], [1, 3], [1, 7]).unwrap();
    for (size, block, begin, words) in [
        ([9, 7, 1], [1, 1], [0, 0], "blocks of 1x1"),
        ([9, 7, 3], [0, 0], [0, 0], "blocks of 0x0"),
        ([9, 7, 3], [0x8000_0000, 2], [0, 0], "blocks of"),
        ([9, 7, 3], [1, 1], [1, 0], "reaches beyond"),
        ([9, 7, 3], [1, 1], [0, u32::MAX], "reaches beyond"),
        ([20, 7, 1], [1, 3], [0, 8], "reaches beyond"),
    ] {
        let error = moved(size, block, begin).unwrap_err();
        assert!(error.contains(words), "'{words}' is not in: {error}");
    }
}

#[test]
fn a_maximum_is_of_one_shape_and_one_quantization() {
    let of = |size, change: fn(&mut Tensor)| {
        let mut program = with(size, |output| Op::Max {
            a: FINE,
            b: FINE,
            output,
        });
        change(program.tensors.last_mut().unwrap());
        program.check().map_err(|error| error.to_string())
    };
    of([9, 7, 3], |_| {}).unwrap();
    of([7, 9, 3], |_| {}).unwrap_err();
    of([9, 7, 3], |tensor| tensor.quant.zero_point ^= 1).unwrap_err();
}

fn scores(scores: TensorId) -> Output {
    let resample = Resample::Unrounded(Coordinates::AlignCorners);
    Output::Logits { scores, resample }
}

#[test]
fn scores_may_be_the_output() {
    let mut program = program();
    program.ops.pop();
    program.output = scores(FINE);
    program.check().unwrap();
}

#[test]
fn the_error_names_operation_and_tensor() {
    let error = fault(|p| stem(p).groups = 2);
    assert!(
        error.contains("operation 1 (convolution)") && error.contains("\"stem\""),
        "{error}"
    );
}

#[test]
fn program_rules() {
    refuses(&[
        (|p| p.width = 0, "input is 0x7"),
        (|p| p.height = 1 << 20, "each side"),
        (|p| p.arena_bytes = MAX_ARENA_BYTES + 1, "arena is 2048 MiB"),
        (|p| p.ops.clear(), "first operation"),
        (|p| p.ops.swap(0, 1), "first operation"),
        (
            |p| p.ops.insert(1, p.ops[0].clone()),
            "by the first operation",
        ),
        (
            |p| {
                p.output = Output::Labels {
                    width: 9,
                    height: 0,
                }
            },
            "mask is 9x0",
        ),
        (|p| p.ops.truncate(12), "last operation is not argmax"),
        (|p| p.output = scores(FINE), "does not end in labels"),
        (
            |p| p.ops.insert(12, p.ops[12].clone()),
            "not the last operation",
        ),
        (
            |p| p.tensors = vec![p.tensors[0].clone(); MAX_TENSORS + 1],
            "4097 tensors",
        ),
        (
            |p| p.ops = vec![p.ops[0].clone(); MAX_OPS + 1],
            "4097 operations",
        ),
    ]);
}

#[test]
fn output_rules() {
    let with = |output, ops| {
        move |p: &mut Program| {
            p.ops.truncate(ops);
            p.output = scores(output);
        }
    };
    for (output, ops, words) in [
        (TensorId(13), 12, "does not exist"),
        (SUM, 8, "before all parts of it are written"),
        (IMAGE, 12, "after operation 11 has overwritten it"),
    ] {
        let error = fault(with(output, ops));
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn tensor_rules() {
    refuses(&[
        (
            |p| tensor(p, STEM).name = "n".repeat(1025),
            "name is longer",
        ),
        (|p| tensor(p, STEM).height = 0, "out of range"),
        (|p| tensor(p, STEM).width = 16_385, "out of range"),
        (|p| tensor(p, STEM).channels = 0, "out of range"),
        (|p| tensor(p, STEM).channels = u32::MAX, "out of range"),
        (|p| tensor(p, STEM).pixel_stride = 3, "pixel stride is 3"),
        (|p| tensor(p, STEM).pixel_stride = u32::MAX, "pixel stride"),
        (
            |p| tensor(p, STEM).pixel_stride = 65_536,
            "do not lie in the arena",
        ),
        (
            |p| tensor(p, STEM).offset = u64::MAX,
            "do not lie in the arena",
        ),
        (|p| p.arena_bytes -= 64, "do not lie in the arena"),
        (|p| tensor(p, STEM).quant.scale = 0.0, "scale 0"),
        (|p| tensor(p, STEM).quant.scale = f32::NAN, "scale NaN"),
        (|p| tensor(p, STEM).quant.scale = f32::INFINITY, "scale inf"),
        (|p| stem(p).input = TensorId(13), "no tensor 13"),
        (|p| stem(p).output = TensorId(u32::MAX), "no tensor"),
    ]);
    let error = fault(|p| tensor(p, STEM).height = 0);
    assert!(error.contains("tensor 1 \"stem\""), "{error}");
}

#[test]
fn input_rules() {
    let input = |order, len| {
        move |p: &mut Program| {
            if let Op::Input {
                order: o, tables, ..
            } = &mut p.ops[0]
            {
                *o = order;
                tables.len = len;
            }
        }
    };
    assert!(fault(input([0, 3, 1], 768)).contains("above 2"));
    assert!(fault(input([0, 1, 2], 767)).contains("tables are 767, not 768"));
    refuses(&[
        (|p| tensor(p, IMAGE).width = 8, "input picture is 9x7x3"),
        (|p| tensor(p, IMAGE).channels = 2, "input picture is 9x7x3"),
    ]);
}

#[test]
fn window_rules() {
    refuses(&[
        (|p| stem(p).window.kernel[0] = 0, "kernel in rows is 0"),
        (|p| stem(p).window.stride[1] = 0, "stride in columns is 0"),
        (|p| stem(p).window.dilation[0] = 0, "dilation in rows is 0"),
        (|p| stem(p).window.kernel[0] = u32::MAX, "kernel in rows"),
        (
            |p| {
                stem(p).window.kernel = [16_384; 2];
                stem(p).window.dilation = [16_384; 2];
            },
            "kernel spans",
        ),
        (|p| stem(p).window.pad[0] = 1025, "border of 1025 rows"),
        (|p| stem(p).window.pad[0] = u32::MAX, "border of"),
        // One window too few, and one too many.
        (|p| stem(p).window.stride[0] = 1, "7 rows do not give 4"),
        (
            |p| stem(p).window.stride[1] = 300,
            "9 columns do not give 5",
        ),
    ]);
}

#[test]
fn a_border_below_is_given_by_the_sizes() {
    // TensorFlow's SAME: the odd row of the border is below.
    let mut program = program();
    stem(&mut program).window.pad = [0, 1];
    program.check().unwrap();
}

#[test]
fn a_border_may_be_wider_than_the_window() {
    let mut program = program();
    stem(&mut program).window.pad[0] = 3;
    program.check().unwrap();
}

#[test]
fn convolution_rules() {
    refuses(&[
        (|p| stem(p).groups = 0, "0 groups do not divide"),
        (|p| conv(p, 3).groups = 4, "4 groups do not divide"),
        (|p| stem(p).clamp = [4, 3], "clamped to 4..=3"),
        (|p| stem(p).quant.scale = 0.3, "not the output's"),
        (|p| conv(p, 9).quant.scale = -1.0, "scale -1"),
        (|p| stem(p).weights.len -= 1, "weights are 107, not 108"),
        (|p| stem(p).weights.offset += 1, "no multiple of 64"),
        (|p| stem(p).weights.offset = 1 << 20, "do not lie within"),
        (
            |p| stem(p).weights.offset = u64::MAX - 63,
            "do not lie within",
        ),
        (
            |p| stem(p).weight_zero_points.len = 3,
            "zero points are 3, not 4",
        ),
        (|p| stem(p).bias.len = u64::MAX, "bias are"),
        (|p| stem(p).multipliers.len = 0, "multipliers are 0, not 4"),
    ]);
    let mut program = program();
    stem(&mut program).weight_zero_points.len = 4;
    program.check().unwrap();
}

#[test]
fn the_sum_must_fit_the_accumulator() {
    let with = |bias: i32| {
        move |p: &mut Program| {
            let span = stem(p).bias;
            poke(p, span, 2, bias.to_le_bytes());
        }
    };
    // 27 products of at most 255 * 255.
    let room = i32::MAX - 27 * 255 * 255;
    let mut full = program();
    with(room)(&mut full);
    full.check().unwrap();
    with(-room)(&mut full);
    full.check().unwrap();
    for bias in [room + 1, -room - 1, i32::MIN] {
        let error = fault(with(bias));
        assert!(error.contains("may not fit 32 bits"), "{error}");
    }
}

#[test]
fn multipliers_are_finite_and_positive() {
    for (value, words) in [
        (f32::NAN, "channel 1 NaN"),
        (f32::INFINITY, "channel 1 inf"),
        (0.0, "channel 1 0"),
        (-1.0, "channel 1 -1"),
        (2e24, "channel 1 2"),
    ] {
        let error = fault(|p| {
            let span = stem(p).multipliers;
            poke(p, span, 1, value.to_le_bytes());
        });
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn rules_of_the_other_operations() {
    fn set(p: &mut Program, at: usize, field: impl FnOnce(&mut Op)) {
        field(&mut p.ops[at]);
    }
    refuses(&[
        (
            |p| {
                set(p, 4, |op| {
                    if let Op::Map { table, .. } = op {
                        table.len = 255
                    }
                })
            },
            "table are 255, not 256",
        ),
        (|p| tensor(p, ACTIVE).height = 3, "\"active\" is 5x3x6"),
        (
            |p| {
                set(p, 5, |op| {
                    if let Op::AveragePool { window, .. } = op {
                        window.dilation[0] = 2
                    }
                })
            },
            "no dilation",
        ),
        (|p| tensor(p, MEAN).channels = 5, "\"mean\" has 5"),
        (
            |p| tensor(p, MEAN).quant.scale = f32::from_bits(1),
            "factor inf",
        ),
        (
            |p| {
                set(p, 6, |op| {
                    if let Op::Mul { clamp, .. } = op {
                        *clamp = [1, 0]
                    }
                })
            },
            "clamped",
        ),
        (
            |p| {
                set(p, 6, |op| {
                    if let Op::Mul { b, .. } = op {
                        *b = STEM
                    }
                })
            },
            "\"stem\" is 5x4x4",
        ),
        (
            |p| tensor(p, LARGEST).quant.scale = 0.5,
            "differ in quantization",
        ),
        (
            |p| {
                set(p, 8, |op| {
                    if let Op::Add { clamp, .. } = op {
                        *clamp = [1, 0]
                    }
                })
            },
            "clamped",
        ),
        (
            |p| {
                set(p, 8, |op| {
                    if let Op::Add { b, .. } = op {
                        *b = STEM
                    }
                })
            },
            "\"stem\" is 5x4x4",
        ),
        (
            |p| {
                conv(p, 9).residual = Some(Residual {
                    tensor: STEM,
                    clamp: [0, 1],
                    first: false,
                })
            },
            "\"stem\" is 5x4x4",
        ),
        (
            |p| {
                conv(p, 9).residual = Some(Residual {
                    tensor: ACTIVE,
                    clamp: [2, 1],
                    first: false,
                })
            },
            "clamped",
        ),
        (
            |p| tensor(p, FINE).quant.zero_point = 4,
            "differ in quantization",
        ),
        (|p| tensor(p, FINE).channels = 2, "\"fine\" has 2"),
        (
            |p| {
                tensor(p, FINE).channels = 257;
                tensor(p, FINE).pixel_stride = 257;
                p.arena_bytes = 1 << 20;
                p.ops.truncate(11);
                p.ops.push(Op::Argmax {
                    input: FINE,
                    resample: Resample::Bilinear(Coordinates::HalfPixel),
                });
            },
            "257 channels",
        ),
    ]);
}

#[test]
fn each_pooling_window_covers_a_pixel() {
    // A dilated kernel whose taps straddle a picture of one row.
    let error = fault(|p| {
        for id in [SCALED, LARGEST, ACTIVE, BOTH, LEFT, RIGHT, SUM, BLOCK] {
            tensor(p, id).height = 1;
        }
        p.ops = vec![
            p.ops[0].clone(),
            Op::MaxPool {
                input: SCALED,
                output: LARGEST,
                window: Window {
                    kernel: [2, 1],
                    stride: [1, 1],
                    dilation: [2, 1],
                    pad: [1, 0],
                },
            },
            p.ops[12].clone(),
        ];
    });
    assert!(error.contains("wholly outside"), "{error}");
}

#[test]
fn memory_rules() {
    refuses(&[
        (
            |p| p.ops.swap(1, 2),
            "\"stem\": it is read before it is written",
        ),
        // One part of the concatenation is missing.
        (
            |p| {
                p.ops.remove(3);
            },
            "operation 3 (table) at tensor \"both\": it is read before all parts",
        ),
        (|p| p.ops.insert(2, p.ops[1].clone()), "it is written twice"),
        // In place.
        (
            |p| tensor(p, SCALED).offset = tensor(p, ACTIVE).offset,
            "overlaps the operation's output",
        ),
        (
            |p| tensor(p, SUM).offset = tensor(p, LARGEST).offset + 1,
            "overlaps the operation's output",
        ),
        // From one part of a concatenation to another: no byte of both, but in turns.
        (
            |p| {
                let Op::Conv(conv) = &mut p.ops[3] else {
                    panic!()
                };
                conv.input = LEFT;
            },
            "\"left\": its pixels lie between those of the operation's output",
        ),
        // The active picture is still read by the sum and the residual.
        (
            |p| tensor(p, LARGEST).offset = tensor(p, ACTIVE).offset,
            "\"active\": it is read after operation 7 has overwritten it",
        ),
        // One byte is enough.
        (
            |p| tensor(p, LARGEST).offset = tensor(p, ACTIVE).offset - 119,
            "overwritten",
        ),
        // Parts that share a channel; a part that reaches into the next pixel.
        (
            |p| tensor(p, RIGHT).offset -= 1,
            "\"both\": it is read before",
        ),
        (
            |p| tensor(p, RIGHT).offset += 1,
            "\"both\": it is read before",
        ),
        (
            |p| tensor(p, RIGHT).pixel_stride = 5,
            "\"both\": it is read before",
        ),
        // A part with another meaning.
        (
            |p| tensor(p, BOTH).quant.scale = 1.0,
            "\"both\": it is read before",
        ),
    ]);
}

#[test]
fn memory_may_be_used_again_after_the_last_read() {
    let mut program = program();
    tensor(&mut program, LARGEST).offset = tensor(&mut program, BOTH).offset;
    program.check().unwrap();
}

#[test]
fn a_part_of_a_written_tensor_may_be_read() {
    let mut program = program();
    // The scores are made from the block's first four channels alone.
    let block = tensor(&mut program, BLOCK).clone();
    let id = TensorId(u32::try_from(program.tensors.len()).unwrap());
    program.tensors.push(Tensor {
        name: "first".into(),
        channels: 4,
        ..block
    });
    let scores = conv(&mut program, 10);
    scores.input = id;
    scores.weights.len = 12;
    program.check().unwrap();
}

#[test]
fn a_long_or_odd_name_does_not_reach_the_terminal() {
    let error = fault(|p| {
        tensor(p, STEM).name = "\u{1b}[2J".into();
        tensor(p, STEM).height = 0;
    });
    assert!(!error.contains('\u{1b}'), "{error}");
    assert!(fault(|p| tensor(p, STEM).name = "n".repeat(1 << 20)).len() < 2000);
}

/// The places of all numbers and lists in a JSON tree.
fn places(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(path),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                places(item, format!("{path}/{i}"), found);
            }
        }
        Value::Object(items) => {
            for (key, item) in items {
                places(item, format!("{path}/{key}"), found);
            }
        }
        _ => {}
    }
}

fn hostile_number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0u64..20).prop_map(Value::from),
        any::<u8>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0u32..64).prop_map(|bit| Value::from(1u64 << bit)),
        Just(Value::from(u32::MAX)),
        Just(Value::from(u64::MAX)),
        Just(Value::from(1e-40)),
        Just(Value::from(3e38)),
        Just(Value::from(-1)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_change_of_numbers_makes_the_check_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), hostile_number()), 1..4),
        order in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..2),
        cut in any::<Option<u8>>(),
    ) {
        let valid = program();
        let mut tree = serde_json::to_value(&valid).unwrap();
        let mut found = Vec::new();
        places(&tree, String::new(), &mut found);
        for (place, number) in changes {
            *tree.pointer_mut(&found[place.index(found.len())]).unwrap() = number;
        }
        // Not every number has the right type; those the file format refuses.
        if let Ok(mut program) = serde_json::from_value::<Program>(tree) {
            for (a, b) in order {
                let len = program.ops.len();
                program.ops.swap(a.index(len), b.index(len));
            }
            let mut constants = valid.constants.to_vec();
            if let Some(cut) = cut {
                constants.truncate(usize::from(cut));
            }
            program.constants = constants.into();
            let _ = program.check();
        }
    }
}

/// The sample behind its input: the picture's codes are given.
fn region() -> Region {
    let mut body = program();
    body.ops.remove(0);
    Region {
        body,
        inputs: vec![IMAGE],
        outputs: vec![SCORES],
    }
}

#[test]
fn a_region_begins_with_given_codes() {
    region().check().unwrap();
    let mut codes = region();
    codes.body.ops.pop();
    codes.body.output = Output::Codes;
    codes.outputs.push(FINE);
    codes.check().unwrap();
}

type RegionChange = fn(&mut Region);

#[test]
fn region_rules() {
    let cases: [(RegionChange, &str); 10] = [
        (|r| r.inputs.clear(), "\"image\""),
        (|r| r.inputs.push(IMAGE), "written twice"),
        (|r| r.inputs.push(STEM), "written twice"),
        (
            |r| r.inputs.push(TensorId(99)),
            "tensor 99, which does not exist",
        ),
        (
            |r| r.outputs.push(TensorId(99)),
            "tensor 99, which does not exist",
        ),
        (|r| r.outputs = vec![TensorId(0); MAX_TENSORS], "too many"),
        (|r| r.body.ops = program().ops, "does not read the picture"),
        (|r| r.body.output = scores(FINE), "not in logits"),
        (|r| r.body.output = Output::Codes, "does not end in labels"),
        (
            |r| {
                let mut other = r.body.tensors[0].clone();
                other.name = "other".into();
                r.body.tensors.push(other);
                r.inputs.push(TensorId(r.body.tensors.len() as u32 - 1));
            },
            "another input overlaps",
        ),
    ];
    for (change, words) in cases {
        let mut region = region();
        change(&mut region);
        let error = region.check().unwrap_err().to_string();
        assert!(error.contains(words), "'{words}' is not in: {error}");
    }
}

#[test]
fn an_output_that_is_overwritten_is_refused() {
    let mut region = region();
    let stem = region.body.tensors[STEM.0 as usize].clone();
    // The scores take the place of the stem, when nothing reads it any more.
    region.body.tensors[SCORES.0 as usize].offset = stem.offset;
    let is_lost = |r: &Region| {
        r.check()
            .is_err_and(|e| e.to_string().contains("overwritten"))
    };
    region.outputs = vec![STEM];
    assert!(is_lost(&region), "{:?}", region.check());
}

#[test]
fn a_whole_program_does_not_end_in_codes() {
    let error = fault(|p| {
        p.ops.pop();
        p.output = Output::Codes;
    });
    assert!(error.contains("part of a model"), "{error}");
}
