//! The safetensors format: eight bytes with the header's length, a JSON header of names, types, shapes and places, then the numbers.
//!
//! Tensors are `layer.<i>.weight`, units × inputs, and `layer.<i>.bias`, of boosted trees `trees`, all their numbers, of 64-bit floating point; the rest of the model is JSON in the
//! metadata under `insitu`, so that the file is the whole model. `columns`, columns × 2, has what was frozen of the features' columns, where that was learned.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Asked, ModelError, Trained};

/// A longer header is none of ours.
const MOST_HEADER: usize = 16 << 20;

/// The tensor of boosted trees.
const TREES: &str = "trees";

/// The tensor of what was frozen.
const COLUMNS: &str = "columns";

#[derive(Serialize, Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The file's bytes.
///
/// # Errors
/// The parameters do not fit.
pub fn write(model: &Trained) -> Result<Vec<u8>, ModelError> {
    let mut data: Vec<u8> = Vec::with_capacity(model.parameters.len() * 8);
    let mut header = BTreeMap::new();
    let about = serde_json::json!({ "format": "insitu", "insitu": serde_json::to_string(model)? });
    header.insert("__metadata__".to_owned(), about);
    let mut tensors = Vec::new();
    if let Asked::Trees(_) = model.asked {
        model.fits()?;
        tensors.push((TREES.to_owned(), vec![model.parameters.len()], model.parameters.clone()));
    } else {
        let frozen = model.parameters.get(..model.frozen_numbers()).unwrap_or_default();
        if !frozen.is_empty() {
            tensors.push((COLUMNS.to_owned(), vec![frozen.len() / 2, 2], frozen.to_vec()));
        }
        for (i, layer) in model.layers()?.into_iter().enumerate() {
            tensors.push((format!("layer.{i}.weight"), vec![layer.outputs, layer.inputs], layer.weights));
            tensors.push((format!("layer.{i}.bias"), vec![layer.outputs], layer.biases));
        }
    }
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let tensor = Tensor { dtype: "F64".to_owned(), shape, data_offsets: [start, data.len()] };
        header.insert(name, serde_json::to_value(tensor)?);
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header);
    out.extend(data);
    Ok(out)
}

/// The model of a file.
///
/// # Errors
/// The file is none of ours, or is cut short.
pub fn read(bytes: &[u8]) -> Result<Trained, ModelError> {
    let none = |why: &str| ModelError::File(why.to_owned());
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| none("it is too short"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|l| *l <= MOST_HEADER);
    let (header, data) =
        length.and_then(|l| rest.split_at_checked(l)).ok_or_else(|| none("its header is cut short"))?;
    let header: BTreeMap<String, Value> = serde_json::from_slice(header).map_err(|_| none("its header is no JSON"))?;
    let about = header.get("__metadata__").and_then(|m| m.get("insitu")).and_then(Value::as_str);
    let about = about.ok_or_else(|| none("it does not say what it is of"))?;
    let mut model: Trained = serde_json::from_str(about).map_err(|_| none("its description is of another form"))?;
    let numbers = |name: &str| -> Result<Vec<f64>, ModelError> {
        let missing = || ModelError::File(format!("the tensor {name} is missing or cut short"));
        let tensor: Tensor = serde_json::from_value(header.get(name).cloned().ok_or_else(missing)?)?;
        let [from, to] = tensor.data_offsets;
        let own = data.get(from..to).filter(|_| tensor.dtype == "F64").ok_or_else(missing)?;
        let (chunks, rest) = own.as_chunks::<8>();
        if !rest.is_empty() || tensor.shape.iter().product::<usize>() != chunks.len() {
            return Err(missing());
        }
        Ok(chunks.iter().map(|b| f64::from_le_bytes(*b)).collect())
    };
    if let Asked::Trees(_) = model.asked {
        model.parameters = numbers(TREES)?;
        model.fits()?;
        return Ok(model);
    }
    if model.frozen_numbers() > 0 {
        model.parameters = numbers(COLUMNS)?;
    }
    for i in 0..=model.hidden().len() {
        let (weights, biases) = (numbers(&format!("layer.{i}.weight"))?, numbers(&format!("layer.{i}.bias"))?);
        let inputs = weights.len() / biases.len().max(1);
        for (unit, bias) in biases.iter().enumerate() {
            model.parameters.push(*bias);
            model.parameters.extend(weights.iter().skip(unit * inputs).take(inputs));
        }
    }
    model.layers()?;
    Ok(model)
}
