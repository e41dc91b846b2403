//! A record as Python sees it.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

use crate::positions::Position;
use crate::varint::Reader;

/// A record that was read from a partition. It keeps none of the fetched bytes.
#[pyclass(frozen, module = "streamapp_native")]
pub struct Record {
    // Read as members, without a call: a record is asked for most of them.
    #[pyo3(get)]
    pub timestamp: Py<PyInt>,
    #[pyo3(get)]
    pub key: Py<PyAny>,
    #[pyo3(get)]
    value: Py<PyAny>,
    #[pyo3(get)]
    pub headers: Py<PyTuple>,
    #[pyo3(get)]
    offset: i64,
}

#[pymethods]
impl Record {
    fn __repr__(&self, py: Python<'_>) -> String {
        let (key, value, headers) = (
            self.key.bind(py),
            self.value.bind(py),
            self.headers.bind(py),
        );
        format!(
            "Record(offset={}, timestamp={}, key={key:?}, value={value:?}, headers={headers:?})",
            self.offset, self.timestamp
        )
    }
}

impl Record {
    /// Make the record at a position in these bytes.
    #[inline]
    pub fn at(
        py: Python<'_>,
        bytes: &[u8],
        position: &Position,
        timestamp: Py<PyInt>,
    ) -> PyResult<Self> {
        Ok(Record {
            timestamp,
            key: optional(py, position.key.of(bytes)),
            value: optional(py, position.value.of(bytes)),
            headers: headers_of(py, bytes, position)?,
            offset: position.offset,
        })
    }
}

#[inline]
fn optional(py: Python<'_>, bytes: Option<&[u8]>) -> Py<PyAny> {
    match bytes {
        Some(bytes) => PyBytes::new(py, bytes).into_any().unbind(),
        None => py.None(),
    }
}

fn headers_of(py: Python<'_>, bytes: &[u8], position: &Position) -> PyResult<Py<PyTuple>> {
    if position.header_count == 0 {
        return Ok(PyTuple::empty(py).unbind()); // always the same
    }
    let mut reader = Reader::new(bytes, position.headers as usize);
    let mut headers = Vec::new();
    for _ in 0..position.header_count {
        // The positions were found in the same bytes, so all of it is there and is UTF-8.
        let (Some(name), Some(content)) = (reader.sized(), reader.sized()) else {
            break;
        };
        let name = String::from_utf8_lossy(name.of(bytes).unwrap_or_default());
        headers.push((PyString::new(py, &name), optional(py, content.of(bytes))));
    }
    Ok(PyTuple::new(py, headers)?.unbind())
}
