//! The operator of a tract graph that runs a region.

use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use super::transfer;
use crate::compile::region::{CompiledRegion, Mixed, Port};
use crate::engine::program::region::Regions;
use crate::kernels::{Source, Target};
use crate::mask::Mask;
use crate::model::Manifest;
use crate::model::graph::Element;
use crate::program::Quant;

/// The operator's name in the graph.
const NAME: &str = "AtrousRegion";
/// Its attributes: which region it is, and the type and sides of each input and output.
const NUMBER: &str = "region";
const INPUT: &str = "input";
const OUTPUT: &str = "output";

/// What runs the regions of a graph.
pub struct Machine {
    work: Mutex<Work>,
    /// For each region its inputs and outputs, and its operator without the machine.
    regions: Vec<(Vec<Port>, Vec<Port>, RegionOperator)>,
}

struct Work {
    regions: Regions,
    mask: Mask,
}

impl Machine {
    /// For the regions of a graph, which `regions` runs.
    pub fn new(regions: Regions, mixed: &Mixed, manifest: &Manifest) -> Self {
        let input = &manifest.input;
        let described = mixed.regions.iter().enumerate().map(|(number, region)| {
            let operator = RegionOperator::new(number, region, manifest);
            (region.inputs.clone(), region.outputs.clone(), operator)
        });
        Self {
            regions: described.collect(),
            work: Mutex::new(Work {
                regions,
                mask: Mask::new(input.width, input.height),
            }),
        }
    }

    fn run(&self, number: usize, inputs: &[TValue]) -> TractResult<TVec<TValue>> {
        let (from, to, operator) = &self.regions[number];
        // A panic while it was locked has left nothing half done that a run reads.
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let Work { regions, mask } = &mut *work;
        let mut outputs = TVec::new();
        let give = |port: usize, target: Target<'_>, quant: Quant| {
            give(&inputs[port], &from[port], target, quant)
        };
        let take = |port: usize, source: Source<'_>, quant: Quant| {
            outputs.push(take(source, &to[port], quant)?);
            Ok(())
        };
        regions.run(number, give, take, mask)?;
        if let Some(fact) = operator.outputs.get(to.len()) {
            outputs.push(Tensor::from_shape(&fact.shape, &mask.labels)?);
        }
        Ok(outputs.into_iter().map(Tensor::into_tvalue).collect())
    }
}

fn give(tensor: &Tensor, port: &Port, target: Target<'_>, quant: Quant) -> TractResult<()> {
    ensure!(
        tensor.shape() == port.shape.as_slice(),
        "'{}' has another shape",
        port.name
    );
    let plain = tensor.try_as_plain_ram()?;
    match port.element {
        Element::F32 => {
            transfer::give(plain.as_slice::<f32>()?, port.steps, target, |x| {
                quant.code(x)
            });
        }
        Element::I8 => {
            transfer::give(plain.as_slice::<i8>()?, port.steps, target, |x| {
                x as u8 ^ 0x80
            });
        }
        _ => transfer::give(plain.as_slice::<u8>()?, port.steps, target, |x| x),
    }
    Ok(())
}

fn take(source: Source<'_>, port: &Port, quant: Quant) -> TractResult<Tensor> {
    let mut tensor = Tensor::zero_dt(datum_type(port.element)?, &port.shape)?;
    {
        let mut plain = tensor.try_as_plain_ram_mut()?;
        match port.element {
            Element::F32 => {
                let values = plain.as_slice_mut::<f32>()?;
                transfer::take(source, values, port.steps, |code| quant.real(code));
            }
            Element::I8 => {
                let values = plain.as_slice_mut::<i8>()?;
                transfer::take(source, values, port.steps, |code| (code ^ 0x80) as i8);
            }
            _ => transfer::take(source, plain.as_slice_mut::<u8>()?, port.steps, |code| code),
        }
    }
    Ok(tensor)
}

fn datum_type(element: Element) -> TractResult<DatumType> {
    match element {
        Element::F32 => Ok(f32::datum_type()),
        Element::U8 => Ok(u8::datum_type()),
        Element::I8 => Ok(i8::datum_type()),
        other => bail!("a region has no tensors of {other}"),
    }
}

/// Type and sides of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Described {
    element: Element,
    shape: Vec<usize>,
}

impl Described {
    fn of(port: &Port) -> Self {
        Self {
            element: port.element,
            shape: port.shape.clone(),
        }
    }

    /// The number of the element's type, as in `TensorProto.DataType` of onnx.proto, and
    /// the sides.
    fn attribute(&self, name: String) -> AttributeProto {
        let element = match self.element {
            Element::F32 => 1,
            Element::I8 => 3,
            _ => 2,
        };
        let sides = self.shape.iter().map(|&side| side as i64);
        AttributeProto {
            name,
            ints: [element].into_iter().chain(sides).collect(),
            ..Default::default()
        }
    }

    fn read(node: &NodeProto, name: &str) -> TractResult<Self> {
        let found = node.attribute.iter().find(|a| a.name == name);
        let Some([element, sides @ ..]) = found.map(|a| a.ints.as_slice()) else {
            bail!("{NAME} without attribute '{name}'");
        };
        let sides = sides.iter().map(|&side| usize::try_from(side));
        Ok(Self {
            element: match element {
                1 => Element::F32,
                2 => Element::U8,
                3 => Element::I8,
                other => bail!("{NAME} of type {other}"),
            },
            shape: sides.collect::<Result<_, _>>()?,
        })
    }
}

/// A region as an operator. It gets its machine once the graph is typed.
#[derive(Clone)]
pub struct RegionOperator {
    number: usize,
    inputs: Vec<Described>,
    /// The mask last, where the region ends in it.
    outputs: Vec<Described>,
    machine: Option<Arc<Machine>>,
}

impl RegionOperator {
    /// The operator of a region, without its machine.
    pub fn new(number: usize, region: &CompiledRegion, manifest: &Manifest) -> Self {
        let mask = region.gives_mask.then(|| Described {
            element: Element::U8,
            shape: vec![
                1,
                manifest.input.height as usize,
                manifest.input.width as usize,
            ],
        });
        Self {
            number,
            inputs: region.inputs.iter().map(Described::of).collect(),
            outputs: region
                .outputs
                .iter()
                .map(Described::of)
                .chain(mask)
                .collect(),
            machine: None,
        }
    }

    /// Its node in an ONNX graph whose output is `output`.
    pub fn node(&self, region: &CompiledRegion, output: &str) -> NodeProto {
        let names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect();
        let mut outputs: Vec<String> = names(&region.outputs);
        if region.gives_mask {
            outputs.push(output.to_owned());
        }
        let number = AttributeProto {
            name: NUMBER.into(),
            ints: vec![self.number as i64],
            ..Default::default()
        };
        let described = |list: &[Described], name: &str| -> Vec<AttributeProto> {
            let list = list.iter().enumerate();
            list.map(|(i, described)| described.attribute(format!("{name}{i}")))
                .collect()
        };
        let mut attribute = described(&self.inputs, INPUT);
        attribute.extend(described(&self.outputs, OUTPUT));
        attribute.push(number);
        NodeProto {
            name: format!("region {}", self.number),
            op_type: NAME.into(),
            input: names(&region.inputs),
            output: outputs,
            attribute,
            ..Default::default()
        }
    }

    /// Has a framework know the operator.
    pub fn register(framework: &mut Onnx) {
        framework.op_register.insert(NAME, read);
    }

    /// Gives every such operator of a model its machine.
    ///
    /// # Errors
    /// Where one is not of the machine's: a file may hold a node of this name.
    pub fn complete(model: &mut TypedModel, machine: &Arc<Machine>) -> TractResult<()> {
        for node in &mut model.nodes {
            let name = &node.name;
            if let Some(operator) = node.op.downcast_mut::<Self>() {
                let known = machine.regions.get(operator.number);
                if known.is_none_or(|(_, _, known)| known != operator) {
                    bail!("node '{name}' is of the operator {NAME}, which is not for files");
                }
                operator.machine = Some(machine.clone());
            }
        }
        Ok(())
    }
}

fn read(
    _context: &ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let number = node.attribute.iter().find(|a| a.name == NUMBER);
    let Some(&[number]) = number.map(|a| a.ints.as_slice()) else {
        bail!("{NAME} without attribute '{NUMBER}'");
    };
    let described = |count: usize, name: &str| {
        (0..count)
            .map(|i| Described::read(node, &format!("{name}{i}")))
            .collect::<TractResult<Vec<_>>>()
    };
    let operator = RegionOperator {
        number: usize::try_from(number)?,
        inputs: described(node.input.len(), INPUT)?,
        outputs: described(node.output.len(), OUTPUT)?,
        machine: None,
    };
    Ok((expand(operator), Vec::new()))
}

impl std::fmt::Debug for RegionOperator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{NAME} {}", self.number)
    }
}

impl PartialEq for RegionOperator {
    /// Whether both are one region of one graph.
    fn eq(&self, other: &Self) -> bool {
        (self.number, &self.inputs, &self.outputs) == (other.number, &other.inputs, &other.outputs)
    }
}

impl Eq for RegionOperator {}

impl Expansion for RegionOperator {
    fn name(&self) -> StaticName {
        NAME.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.inputs.len())?;
        check_output_arity(outputs, self.outputs.len())?;
        let described = self.inputs.iter().chain(&self.outputs);
        for (tensor, Described { element, shape }) in inputs.iter().chain(outputs).zip(described) {
            solver.equals(&tensor.datum_type, datum_type(*element)?)?;
            let sides: TVec<TDim> = shape.iter().map(|&side| side.to_dim()).collect();
            solver.equals(&tensor.shape, sides)?;
        }
        Ok(())
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }

    fn runs_out_of_plan(&self) -> bool {
        false
    }
}

impl Op for RegionOperator {
    fn name(&self) -> StaticName {
        NAME.into()
    }

    op_as_typed_op!();
}

impl EvalOp for RegionOperator {
    not_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let Some(machine) = &self.machine else {
            bail!("{NAME} {} has no program", self.number);
        };
        ensure!(
            inputs.len() == self.inputs.len(),
            "{NAME} got {} inputs",
            inputs.len()
        );
        machine.run(self.number, &inputs)
    }
}

impl TypedOp for RegionOperator {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let agrees = |(fact, described): (&&TypedFact, &Described)| {
            datum_type(described.element).is_ok_and(|element| fact.datum_type == element)
                && fact.shape.as_concrete() == Some(described.shape.as_slice())
        };
        ensure!(
            inputs.len() == self.inputs.len() && inputs.iter().zip(&self.inputs).all(agrees),
            "what {NAME} {} reads is not of the type and shape it was compiled for",
            self.number
        );
        let fact = |described: &Described| {
            Ok(datum_type(described.element)?.fact(described.shape.as_slice()))
        };
        self.outputs.iter().map(fact).collect()
    }

    as_op!();
}
