//! Batches of a response, as a broker sends them.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt};

use crate::fetched::Fetched;
use crate::positions::{find, Base};
use crate::record::Record;
use crate::varint::{int16, int32, int64};

const LENGTH_AT: usize = 8;
const LENGTH_END: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const FIRST_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_AT: usize = 43;
const COUNT_AT: usize = 57;
const HEADER_END: usize = 61;
/// What the smallest record of the oldest format takes.
const LEAST_BATCH: usize = LENGTH_END + 14;

const CODEC: i16 = 0x07;
const APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// The batches of one response for one partition.
#[pyclass(frozen, module = "streamapp_native")]
pub struct Log {
    data: Py<PyBytes>,
    place: AtomicUsize,
}

#[pymethods]
impl Log {
    #[new]
    fn new(data: Py<PyBytes>) -> Self {
        Log {
            data,
            place: AtomicUsize::new(0),
        }
    }

    /// Bytes of the response.
    fn size_in_bytes(&self, py: Python<'_>) -> usize {
        self.data.as_bytes(py).len()
    }

    /// Whether another batch is there whole: a broker may send the beginning of one.
    fn has_next(&self, py: Python<'_>) -> bool {
        self.next_end(py).is_some()
    }

    /// The next batch: its bytes, if it has an older format than the second.
    fn next_batch(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(end) = self.next_end(py) else {
            return Ok(None);
        };
        let start = self.place.load(Ordering::Relaxed);
        let bytes = &self.data.as_bytes(py)[start..end];
        if bytes.len() < LEAST_BATCH {
            return Err(PyValueError::new_err(format!(
                "a batch of {} bytes",
                bytes.len()
            )));
        }
        let found = if bytes[MAGIC_AT] < 2 {
            PyBytes::new(py, bytes).into_any().unbind()
        } else {
            let batch = LogBatch::new(self.data.clone_ref(py), bytes, start, end);
            let batch = batch.ok_or_else(|| PyValueError::new_err("a batch without a header"))?;
            Py::new(py, batch)?.into_any()
        };
        self.place.store(end, Ordering::Relaxed);
        Ok(Some(found))
    }
}

impl Log {
    /// Where the next batch ends; `None` if it is not there whole.
    fn next_end(&self, py: Python<'_>) -> Option<usize> {
        let bytes = self.data.as_bytes(py);
        let place = self.place.load(Ordering::Relaxed);
        let length = int32(bytes, place + LENGTH_AT)?;
        // A negative length is an error of the next batch, not an end.
        let end = place + LENGTH_END + usize::try_from(length).unwrap_or(0);
        (end <= bytes.len()).then_some(end)
    }
}

/// A batch of the second format; its records are found when `parse` is called.
#[pyclass(frozen, module = "streamapp_native")]
pub struct LogBatch {
    data: Py<PyBytes>,
    start: usize,
    end: usize,
    attributes: i16,
    base: Base,
    #[pyo3(get)]
    next_offset: i64,
    #[pyo3(get)]
    producer_id: i64,
    crc: u32,
}

impl LogBatch {
    fn new(data: Py<PyBytes>, bytes: &[u8], start: usize, end: usize) -> Option<Self> {
        let attributes = int16(bytes, ATTRIBUTES_AT)?;
        let max_timestamp = int64(bytes, MAX_TIMESTAMP_AT)?;
        let base = Base {
            offset: int64(bytes, 0)?,
            timestamp: int64(bytes, FIRST_TIMESTAMP_AT)?,
            append_time: (attributes & APPEND_TIME != 0).then_some(max_timestamp),
            records: int32(bytes, COUNT_AT)?,
        };
        let last_delta = i64::from(int32(bytes, LAST_OFFSET_DELTA_AT)?);
        Some(LogBatch {
            data,
            start,
            end,
            attributes,
            next_offset: base.offset.checked_add(last_delta)?.checked_add(1)?,
            base,
            producer_id: int64(bytes, PRODUCER_AT)?,
            crc: int32(bytes, CRC_AT)? as u32,
        })
    }

    fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        &self.data.as_bytes(py)[self.start..self.end]
    }
}

#[pymethods]
impl LogBatch {
    #[getter]
    fn base_offset(&self) -> i64 {
        self.base.offset
    }

    #[getter]
    fn compression_type(&self) -> i16 {
        self.attributes & CODEC
    }

    #[getter]
    fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    #[getter]
    fn is_control_batch(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// The records as they are stored, perhaps compressed.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bytes(py)[HEADER_END..])
    }

    /// Whether the checksum is that of the bytes.
    fn validate_crc(&self, py: Python<'_>) -> bool {
        crc32c::crc32c(&self.bytes(py)[ATTRIBUTES_AT..]) == self.crc
    }

    /// Find the records: those before the first that is broken, and what is wrong with that.
    ///
    /// `payload` is what the records are after decompression, if they are compressed.
    #[pyo3(signature = (payload=None))]
    fn parse(&self, py: Python<'_>, payload: Option<Py<PyBytes>>) -> (Fetched, Option<String>) {
        let (data, skipped, end) = match payload {
            Some(payload) => {
                let end = payload.as_bytes(py).len();
                (payload, 0, end)
            }
            None => (self.data.clone_ref(py), self.start + HEADER_END, self.end),
        };
        let bytes = &data.as_bytes(py)[..end];
        let (positions, error) = find(bytes, skipped, &self.base);
        (Fetched::of(data, positions), error)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// The first record: the marker of a control batch, which has no other.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Record>> {
        let bytes = self.bytes(py);
        let (found, error) = find(bytes, HEADER_END, &self.base);
        match (found.first(), error) {
            (Some(first), _) => {
                let timestamp = PyInt::new(py, first.timestamp).unbind();
                Record::at(py, bytes, first, timestamp).map(Some)
            }
            (None, Some(error)) => Err(PyValueError::new_err(error)),
            (None, None) => Ok(None),
        }
    }
}

/// Add what this file has to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Log>()?;
    module.add_class::<LogBatch>()
}
