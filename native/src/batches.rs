//! The output batches of one topic: the twin of `streamapp.brokers.topic_batches.TopicBatches`.

use crate::partitioner::murmur2;
use crate::record_batch::{contents, encode_headers, NewRecord, RecordBatch};
use pyo3::exceptions::{PyIndexError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// A batch that takes records, and how many it has.
struct Open {
    batch: Py<PyAny>,
    filling: Filling,
    records: i64,
}

enum Filling {
    Native(Py<RecordBatch>),
    Any(Py<PyAny>), // the function that appends to a batch of another broker
}

#[pyclass(module = "streamapp_native")]
pub struct TopicBatches {
    partitioner: Py<PyAny>,
    create: Py<PyAny>,
    on_sealed: Py<PyAny>,
    is_keyless_used: bool,
    open: Vec<Option<Open>>,
    full: Vec<(usize, Py<PyAny>)>,
}

impl TopicBatches {
    fn choose(&mut self, py: Python<'_>, key: Option<&[u8]>) -> PyResult<usize> {
        let partitions = self.open.len();
        if let Some(key) = key {
            return Ok((murmur2(key) & 0x7fff_ffff) as usize % partitions);
        }
        let partitioner = self.partitioner.bind(py);
        let chosen: usize = if self.is_keyless_used {
            partitioner.getattr(intern!(py, "keyless"))?.extract()?
        } else {
            self.is_keyless_used = true;
            partitioner
                .call_method1(intern!(py, "choose"), (py.None(),))?
                .extract()?
        };
        if chosen >= partitions {
            return Err(PyIndexError::new_err("there is no such partition"));
        }
        Ok(chosen)
    }

    /// Add a record, which the caller has checked against the limits of the topic.
    ///
    /// `headers` are those of the record as Python has them, for batches of another broker.
    pub fn add(
        &mut self,
        py: Python<'_>,
        record: &NewRecord,
        headers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let partition = self.choose(py, record.key)?;
        if let Some(open) = &mut self.open[partition] {
            if open.append(py, record, headers)? {
                return Ok(partition);
            }
        }
        if self.begin(py, partition)?.append(py, record, headers)? {
            return Ok(partition);
        }
        Err(PyRuntimeError::new_err(
            "an empty batch has refused a record",
        ))
    }

    /// Open a new batch for a partition, whose current one is full.
    fn begin(&mut self, py: Python<'_>, partition: usize) -> PyResult<&mut Open> {
        self.seal_one(py, partition)?;
        let batch = self.create.call0(py)?;
        let builder = batch.getattr(py, intern!(py, "builder"));
        let native = builder
            .ok()
            .and_then(|own| own.extract::<Py<RecordBatch>>(py).ok());
        let filling = match native {
            Some(records) => Filling::Native(records),
            None => Filling::Any(batch.getattr(py, intern!(py, "appender"))?),
        };
        Ok(self.open[partition].insert(Open {
            batch,
            filling,
            records: 0,
        }))
    }

    fn seal_one(&mut self, py: Python<'_>, partition: usize) -> PyResult<()> {
        let Some(open) = self.open[partition].take() else {
            return Ok(());
        };
        open.batch
            .call_method1(py, intern!(py, "seal"), (open.records,))?;
        let size = open.batch.call_method0(py, intern!(py, "size"))?;
        self.full.push((partition, open.batch));
        self.on_sealed.call1(py, (size,))?;
        Ok(())
    }
}

impl Open {
    /// Append a record; false means that the batch is full.
    fn append(
        &mut self,
        py: Python<'_>,
        record: &NewRecord,
        headers: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let added = match &self.filling {
            Filling::Native(batch) => batch.try_borrow_mut(py)?.push(self.records, record)?,
            Filling::Any(append) => {
                let bytes = |field: Option<&[u8]>| field.map(|own| PyBytes::new(py, own));
                let (key, value) = (bytes(record.key), bytes(record.value));
                let none = PyList::empty(py).into_any();
                let headers = headers.unwrap_or(&none);
                let given = (self.records, record.timestamp, key, value, headers);
                !append.call1(py, given)?.is_none(py)
            }
        };
        self.records += i64::from(added);
        Ok(added)
    }
}

#[pymethods]
impl TopicBatches {
    #[new]
    fn new(
        partitioner: Bound<'_, PyAny>,
        create: Py<PyAny>,
        on_sealed: Py<PyAny>,
    ) -> PyResult<Self> {
        let partitions: usize = partitioner.getattr("partitions")?.extract()?;
        if partitions == 0 {
            return Err(PyIndexError::new_err("a topic has one partition at least"));
        }
        Ok(TopicBatches {
            partitioner: partitioner.unbind(),
            create,
            on_sealed,
            is_keyless_used: false,
            open: (0..partitions).map(|_| None).collect(),
            full: Vec::new(),
        })
    }

    /// Add a record; returns the partition that it goes to.
    fn append(
        &mut self,
        key: Option<Bound<'_, PyBytes>>,
        value: Option<Bound<'_, PyAny>>,
        headers: Bound<'_, PyAny>,
        timestamp: i64,
    ) -> PyResult<usize> {
        let value = contents(value)?;
        let mut encoded = Vec::new();
        let record = NewRecord {
            timestamp,
            key: key.as_ref().map(|bytes| bytes.as_bytes()),
            value: value.as_ref().map(|bytes| bytes.as_bytes()),
            headers: encode_headers(&headers, &mut encoded)?,
        };
        self.add(headers.py(), &record, Some(&headers))
    }

    /// Close and return all batches with their partitions, in the order in which they were filled.
    fn take<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.seal(py)?;
        self.partitioner
            .call_method0(py, intern!(py, "rotate_keyless"))?;
        PyList::new(py, std::mem::take(&mut self.full))
    }

    /// Bytes in batches that are not closed yet.
    fn open_bytes(&self, py: Python<'_>) -> PyResult<usize> {
        self.open.iter().flatten().try_fold(0, |sum, open| {
            Ok(sum
                + match &open.filling {
                    Filling::Native(batch) => batch.try_borrow(py)?.size(),
                    Filling::Any(_) => open.batch.call_method0(py, "size")?.extract(py)?,
                })
        })
    }

    /// Close all batches; what is appended afterwards begins new ones.
    fn seal(&mut self, py: Python<'_>) -> PyResult<()> {
        (0..self.open.len()).try_for_each(|partition| self.seal_one(py, partition))
    }
}

/// Add what this file has to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RecordBatch>()?;
    module.add_class::<TopicBatches>()
}
