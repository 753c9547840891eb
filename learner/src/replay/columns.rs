//! Columns of numbers by their names: what a checkpoint keeps of replay, as safetensors bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// Columns that are not those of this replay. Their hash was right: another release wrote them.
#[derive(Debug, thiserror::Error)]
pub enum BadColumns {
    /// One is missing or of another type.
    #[error("the column \"{0}\" of replay is missing or of another type")]
    Missing(String),
    /// One does not fit the others.
    #[error("the column \"{0}\" of replay does not fit the others")]
    Unfit(&'static str),
    /// No columns at all.
    #[error("the columns of replay cannot be read: {0}")]
    Form(#[from] safetensors::SafeTensorError),
}

/// Named columns of whole numbers and of floating-point numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns(BTreeMap<Cow<'static, str>, Column>);

#[derive(Clone, Debug, PartialEq)]
enum Column {
    Whole(Vec<u64>),
    Real(Vec<f64>),
}

impl Columns {
    /// Adds a column of whole numbers.
    pub(super) fn put(&mut self, name: &'static str, values: impl IntoIterator<Item = u64>) {
        self.0.insert(name.into(), Column::Whole(values.into_iter().collect()));
    }

    /// Adds a column of floating-point numbers.
    pub(super) fn put_real(&mut self, name: &'static str, values: impl IntoIterator<Item = f64>) {
        self.0.insert(name.into(), Column::Real(values.into_iter().collect()));
    }

    /// A column of whole numbers.
    pub(super) fn whole(&self, name: &str) -> Result<&[u64], BadColumns> {
        match self.0.get(name) {
            Some(Column::Whole(values)) => Ok(values),
            _ => Err(BadColumns::Missing(name.to_owned())),
        }
    }

    /// A column of floating-point numbers.
    pub(super) fn real(&self, name: &str) -> Result<&[f64], BadColumns> {
        match self.0.get(name) {
            Some(Column::Real(values)) => Ok(values),
            _ => Err(BadColumns::Missing(name.to_owned())),
        }
    }

    /// The only number of a column.
    pub(super) fn one(&self, name: &'static str) -> Result<u64, BadColumns> {
        match self.whole(name)? {
            [value] => Ok(*value),
            _ => Err(BadColumns::Unfit(name)),
        }
    }

    /// Slots of the residents.
    pub(super) fn slots(&self) -> Result<usize, BadColumns> {
        usize::try_from(self.one("slots")?).map_err(|_| BadColumns::Unfit("slots"))
    }

    /// Their bytes.
    ///
    /// # Errors
    /// The library's.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BadColumns> {
        let all: Vec<_> = self.0.iter().map(|(name, column)| (name, column.bytes())).collect();
        let views = all.iter().map(|(name, (kind, bytes))| {
            Ok::<_, BadColumns>((*name, TensorView::new(*kind, vec![bytes.len() / 8], bytes)?))
        });
        Ok(safetensors::serialize(views.collect::<Result<Vec<_>, _>>()?, None)?)
    }

    /// Reads them.
    ///
    /// # Errors
    /// Bytes that are no columns.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadColumns> {
        let mut columns = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(bytes)?.iter() {
            let numbers = view.data().chunks_exact(8).map(|chunk| {
                let mut number = [0; 8];
                number.copy_from_slice(chunk);
                number
            });
            let column = match view.dtype() {
                Dtype::U64 => Column::Whole(numbers.map(u64::from_le_bytes).collect()),
                Dtype::F64 => Column::Real(numbers.map(f64::from_le_bytes).collect()),
                _ => return Err(BadColumns::Missing(name.to_owned())),
            };
            columns.insert(name.to_owned().into(), column);
        }
        Ok(Self(columns))
    }
}

impl Column {
    fn bytes(&self) -> (Dtype, Vec<u8>) {
        match self {
            Self::Whole(values) => {
                (Dtype::U64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            Self::Real(values) => {
                (Dtype::F64, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        }
    }
}

/// A number as a place in memory.
pub(super) fn index(name: &'static str, value: u64, end: usize) -> Result<usize, BadColumns> {
    usize::try_from(value).ok().filter(|&index| index < end).ok_or(BadColumns::Unfit(name))
}
