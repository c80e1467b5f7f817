//! Patients on their way into a statistic: one entry a patient in each column.

use crate::top_codes::Key;

/// The level that stands for a missing value.
pub const MISSING: u32 = u32::MAX;

/// One column over the patients of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Real numbers; NaN is missing.
    Real(Vec<f64>),
    /// Levels, counted from 0; [`MISSING`] is missing.
    Level(Vec<u32>),
    /// For each patient a set of codes: patient `i` owns `codes[offsets[i]..offsets[i + 1]]`.
    Codes {
        /// One more than patients.
        offsets: Vec<u32>,
        /// Places in the vocabulary.
        codes: Vec<u32>,
    },
    /// For each patient a set of codes that no list names: patient `i` owns `keys[offsets[i]..offsets[i + 1]]`.
    Keys {
        /// One more than patients.
        offsets: Vec<u32>,
        /// The codes.
        keys: Vec<Key>,
    },
    /// For each patient a tag that only the holders of a key can make.
    Tags(Vec<[u8; 32]>),
}

impl Column {
    /// How many patients.
    pub fn len(&self) -> usize {
        match self {
            Column::Real(v) => v.len(),
            Column::Level(v) => v.len(),
            Column::Tags(v) => v.len(),
            Column::Codes { offsets, .. } | Column::Keys { offsets, .. } => offsets.len().saturating_sub(1),
        }
    }

    /// Whether there is no patient.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Columns over the same patients. It has no `Debug`: patients' rows are never printed.
#[derive(Clone, Default)]
pub struct PatientBatch {
    patients: usize,
    columns: Vec<Column>,
}

/// Columns of one batch had different lengths.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the columns of a batch must be of one length")]
pub struct RaggedBatch;

impl PatientBatch {
    /// A batch of so many patients.
    ///
    /// # Errors
    /// A column has another length.
    pub fn new(patients: usize, columns: Vec<Column>) -> Result<PatientBatch, RaggedBatch> {
        if columns.iter().all(|c| c.len() == patients) {
            Ok(PatientBatch { patients, columns })
        } else {
            Err(RaggedBatch)
        }
    }

    /// How many patients.
    pub fn patients(&self) -> usize {
        self.patients
    }

    /// The column at a place.
    pub fn column(&self, place: usize) -> Option<&Column> {
        self.columns.get(place)
    }

    /// All columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The same with a column more, behind the others.
    ///
    /// # Errors
    /// The column has another length.
    pub fn with(mut self, column: Column) -> Result<PatientBatch, RaggedBatch> {
        self.columns.push(column);
        PatientBatch::new(self.patients, self.columns)
    }

    /// A batch of the patients at these places, each once or more; one that there is not is left out.
    pub fn rows(&self, places: &[usize]) -> PatientBatch {
        let there: Vec<usize> = places.iter().copied().filter(|p| *p < self.patients).collect();
        fn pick<T: Copy>(values: &[T], places: &[usize]) -> Vec<T> {
            places.iter().filter_map(|p| values.get(*p).copied()).collect()
        }
        fn pick_sets<T: Copy>(offsets: &[u32], items: &[T], places: &[usize]) -> (Vec<u32>, Vec<T>) {
            let (mut own, mut ends) = (Vec::new(), vec![0u32]);
            for p in places {
                let at = |p: usize| offsets.get(p).map_or(0, |o| *o as usize);
                own.extend(items.get(at(*p)..at(p + 1)).unwrap_or_default());
                ends.push(own.len() as u32);
            }
            (ends, own)
        }
        let columns = self.columns.iter().map(|c| match c {
            Column::Real(v) => Column::Real(pick(v, &there)),
            Column::Level(v) => Column::Level(pick(v, &there)),
            Column::Tags(v) => Column::Tags(pick(v, &there)),
            Column::Codes { offsets, codes } => {
                let (offsets, codes) = pick_sets(offsets, codes, &there);
                Column::Codes { offsets, codes }
            }
            Column::Keys { offsets, keys } => {
                let (offsets, keys) = pick_sets(offsets, keys, &there);
                Column::Keys { offsets, keys }
            }
        });
        PatientBatch { patients: there.len(), columns: columns.collect() }
    }

    /// A batch with the columns at these places, in this order; `None` where a place does not exist.
    pub fn select(&self, places: &[usize]) -> Option<PatientBatch> {
        let columns = places.iter().map(|&p| self.columns.get(p).cloned()).collect::<Option<Vec<_>>>()?;
        Some(PatientBatch { patients: self.patients, columns })
    }
}
