//! How often the quantized model and another one choose the same class.

use anyhow::Result;
use serde::Serialize;

use atrous::engine::program;
use atrous::engine::tract::TractSegmenter;
use atrous::engine::{Segmenter, Shape};
use atrous::eval::Confusion;
use atrous::mask::Mask;

use super::super::import::{Importer, Refused, Source};
use super::super::model;
use super::super::runtime::Wanted;
use super::progress::Bar;

/// How often two models choose the same class.
#[derive(Debug, Clone, Serialize)]
pub struct Agreement {
    pub model: String,
    /// Share of the model's input pixels, 0..=1.
    pub pixels: f64,
    pub pictures: usize,
}

/// A model whose masks the quantized one's are compared with.
pub struct Other {
    name: String,
    segmenter: Box<dyn Segmenter>,
}

impl Other {
    /// Opens a model of the float one's size and classes; `float` is that one itself.
    pub fn open(name: &str, float: &Source, importer: &Importer) -> Result<Self> {
        let Source {
            model: own_model,
            graph,
        } = float;
        let segmenter: Box<dyn Segmenter> = match name {
            "float" => Box::new(TractSegmenter::from_graph(own_model, graph)?),
            _ => {
                let options = program::Options::default();
                model::open(name, Wanted::CPU, importer, options)?.segmenter
            }
        };
        let own = Shape {
            width: own_model.manifest.input.width,
            height: own_model.manifest.input.height,
            classes: own_model.manifest.classes.len(),
        };
        if segmenter.shape() != own {
            let [other, own] = [segmenter.shape(), own].map(|shape| {
                let Shape {
                    width,
                    height,
                    classes,
                } = shape;
                format!("{width}x{height} and {classes} classes")
            });
            let text = format!(
                "model '{name}' has an input of {other}, the model to quantize one of {own}: \
                 their masks cannot be compared"
            );
            return Err(Refused::model(text).into());
        }
        Ok(Self {
            name: name.to_owned(),
            segmenter,
        })
    }

    /// Runs both models over the pictures.
    pub fn agreement(
        &mut self,
        mut own: Box<dyn Segmenter>,
        pictures: &[Vec<u8>],
        bar: &Bar,
    ) -> Result<Agreement> {
        let (mut theirs, mut ours) = (Mask::default(), Mask::default());
        let mut pairs = Confusion::new(own.shape().classes);
        for (done, rgb) in pictures.iter().enumerate() {
            bar.show("comparing masks", done, pictures.len());
            self.segmenter.segment(rgb, &mut theirs)?;
            own.segment(rgb, &mut ours)?;
            pairs.add(&theirs.labels, &ours.labels);
        }
        Ok(Agreement {
            model: self.name.clone(),
            pixels: pairs.pixel_accuracy().unwrap_or_default(),
            pictures: pictures.len(),
        })
    }
}
