//! One batch of records in Kafka's format v2, byte for byte as aiokafka's compiled builder makes it.
//!
//! https://kafka.apache.org/documentation/#recordbatch

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString, PyTuple};
use std::time::{SystemTime, UNIX_EPOCH};

const HEADER_BYTES: usize = 61;
const LENGTH_COUNTS_FROM: usize = 12;
const ATTRIBUTES_AT: usize = 21;
const TRANSACTIONAL: i16 = 0x10;
const NO_TIMESTAMP: i64 = -1;
const MAGIC: u8 = 2;

/// A record as it is appended; `headers` are encoded already, with their number in front.
pub struct NewRecord<'a> {
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [u8],
}

/// What headers are written as when there are none.
pub const NO_HEADERS: &[u8] = &[0];

/// Drop-in for `DefaultRecordBatchBuilder` of aiokafka, without compression.
#[pyclass(module = "streamapp_native")]
pub struct RecordBatch {
    max_bytes: usize,
    attributes: i16,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    first_timestamp: i64,
    max_timestamp: i64,
    last_offset: i32,
    records: i32,
    bytes: Vec<u8>,
}

impl RecordBatch {
    /// Append a record; false means that the batch is full. An empty one takes a record of any size.
    pub fn push(&mut self, offset: i64, record: &NewRecord) -> PyResult<bool> {
        // As the client: -1 stands for "no record yet", so records without a timestamp come first.
        let delta = match self.first_timestamp {
            NO_TIMESTAMP => 0,
            first => record.timestamp.wrapping_sub(first),
        };
        let body = 1
            + varint_len(delta)
            + varint_len(offset)
            + field_len(record.key)
            + field_len(record.value)
            + record.headers.len();
        let size = body + varint_len(body as i64);
        if offset != 0 && self.bytes.len() + size >= self.max_bytes {
            return Ok(false);
        }
        if self.bytes.len() + size > i32::MAX as usize {
            return Err(PyOverflowError::new_err("a batch takes no more than 2 GiB"));
        }
        if self.first_timestamp == NO_TIMESTAMP {
            self.first_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        }
        let out = &mut self.bytes;
        out.reserve(size);
        put_varint(out, body as i64);
        out.push(0);
        put_varint(out, delta);
        put_varint(out, offset);
        put_field(out, record.key);
        put_field(out, record.value);
        out.extend_from_slice(record.headers);
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.records += 1;
        self.last_offset = offset as i32;
        Ok(true)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

#[pymethods]
impl RecordBatch {
    #[new]
    #[pyo3(signature = (max_bytes, *, is_transactional = false))]
    fn new(max_bytes: usize, is_transactional: bool) -> Self {
        RecordBatch {
            max_bytes,
            attributes: if is_transactional { TRANSACTIONAL } else { 0 },
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: 0,
            first_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            last_offset: 0,
            records: 0,
            bytes: vec![0; HEADER_BYTES],
        }
    }

    /// Append a record; `None` means that the batch is full and the record was not added.
    fn append(
        &mut self,
        offset: i64,
        timestamp: Option<i64>,
        key: Option<Bound<'_, PyAny>>,
        value: Option<Bound<'_, PyAny>>,
        headers: Bound<'_, PyAny>,
    ) -> PyResult<Option<bool>> {
        let (key, value) = (contents(key)?, contents(value)?);
        let mut encoded = Vec::new();
        let record = NewRecord {
            timestamp: timestamp.unwrap_or_else(now_ms),
            key: key.as_ref().map(|bytes| bytes.as_bytes()),
            value: value.as_ref().map(|bytes| bytes.as_bytes()),
            headers: encode_headers(&headers, &mut encoded)?,
        };
        Ok(self.push(offset, &record)?.then_some(true))
    }

    fn set_producer_state(&mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) {
        self.producer_id = producer_id;
        self.producer_epoch = producer_epoch;
        self.base_sequence = base_sequence;
    }

    /// Bytes so far.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The batch as it is sent. It may be called again, when the producer's state has changed.
    fn build<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyByteArray> {
        let length = (self.bytes.len() - LENGTH_COUNTS_FROM) as i32;
        self.put(0, &0i64.to_be_bytes());
        self.put(8, &length.to_be_bytes());
        self.put(12, &(-1i32).to_be_bytes()); // the broker sets the leader's epoch
        self.put(16, &[MAGIC]);
        self.put(ATTRIBUTES_AT, &self.attributes.to_be_bytes());
        self.put(23, &self.last_offset.to_be_bytes());
        self.put(27, &self.first_timestamp.to_be_bytes());
        self.put(35, &self.max_timestamp.to_be_bytes());
        self.put(43, &self.producer_id.to_be_bytes());
        self.put(51, &self.producer_epoch.to_be_bytes());
        self.put(53, &self.base_sequence.to_be_bytes());
        self.put(57, &self.records.to_be_bytes());
        let checksum = crc32c::crc32c(&self.bytes[ATTRIBUTES_AT..]);
        self.put(17, &checksum.to_be_bytes());
        PyByteArray::new(py, &self.bytes)
    }
}

/// Headers as they stand in a record, written to `into` if there are any.
pub fn encode_headers<'a>(headers: &Bound<'_, PyAny>, into: &'a mut Vec<u8>) -> PyResult<&'a [u8]> {
    let count = headers.len()?;
    if count == 0 {
        return Ok(NO_HEADERS);
    }
    put_varint(into, count as i64);
    let mut found = 0;
    for header in headers.try_iter()? {
        let header = header?;
        let pair = header.cast::<PyTuple>()?;
        if pair.len() != 2 {
            return Err(PyTypeError::new_err("a header is a name and a value"));
        }
        let name = pair.get_item(0)?;
        put_field(into, Some(name.cast::<PyString>()?.to_str()?.as_bytes()));
        let value = pair.get_item(1)?;
        if value.is_none() {
            put_field(into, None);
        } else {
            put_field(into, Some(value.cast::<PyBytes>()?.as_bytes()));
        }
        found += 1;
    }
    if found != count {
        return Err(PyTypeError::new_err("headers are a list or a tuple"));
    }
    Ok(into)
}

/// The bytes of a key or value, which may be anything that has a buffer.
pub fn contents<'py>(given: Option<Bound<'py, PyAny>>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let Some(given) = given else { return Ok(None) };
    match given.cast_into::<PyBytes>() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(other) => {
            let view = PyMemoryView::from(&other.into_inner())?;
            Ok(Some(view.call_method0("tobytes")?.cast_into()?))
        }
    }
}

pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

fn field_len(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint_len(bytes.len() as i64) + bytes.len())
}

fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint_len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut left = zigzag(value);
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}
