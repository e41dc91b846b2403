//! Records that were fetched together: their positions in the bytes, each made when it is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyInt, PyList, PyRange};

use crate::positions::Position;
use crate::record::Record;

/// Records of one partition in the order of their offsets.
#[pyclass(frozen, weakref, module = "streamapp_native")]
pub struct Fetched {
    data: Vec<Arc<Py<PyBytes>>>,
    positions: Vec<Position>,
    offsets: PyOnceLock<Py<PyAny>>,
}

impl Fetched {
    /// Records in the bytes of one batch.
    pub fn of(data: Py<PyBytes>, positions: Vec<Position>) -> Self {
        Self::made(vec![Arc::new(data)], positions)
    }

    fn made(data: Vec<Arc<Py<PyBytes>>>, positions: Vec<Position>) -> Self {
        Fetched {
            data,
            positions,
            offsets: PyOnceLock::new(),
        }
    }

    fn only(&self, keep: impl Fn(&Position) -> bool) -> Self {
        Self::made(
            self.data.clone(),
            self.positions.iter().filter(|p| keep(p)).copied().collect(),
        )
    }

    fn slice(&self, first: usize, last: usize) -> &[Position] {
        let last = last.min(self.positions.len());
        self.positions.get(first..last).unwrap_or_default()
    }

    #[inline]
    fn make(&self, py: Python<'_>, position: &Position, timestamp: Py<PyInt>) -> PyResult<Record> {
        let bytes = self.data[position.batch as usize].as_bytes(py);
        Record::at(py, bytes, position, timestamp)
    }
}

#[pymethods]
impl Fetched {
    fn __len__(&self) -> usize {
        self.positions.len()
    }

    fn __getitem__(&self, py: Python<'_>, index: isize) -> PyResult<Record> {
        let count = self.positions.len();
        let place = if index < 0 {
            count.checked_add_signed(index)
        } else {
            Some(index as usize)
        };
        let position = place.and_then(|place| self.positions.get(place));
        let position = position.ok_or_else(|| PyIndexError::new_err("there is no such record"))?;
        self.make(py, position, PyInt::new(py, position.timestamp).unbind())
    }

    fn __iter__(slf: Bound<'_, Self>) -> FetchedIterator {
        FetchedIterator {
            timestamp: PyOnceLock::new(),
            first_timestamp: slf
                .get()
                .positions
                .first()
                .map_or(0, |first| first.timestamp),
            fetched: slf.unbind(),
            place: AtomicUsize::new(0),
        }
    }

    /// Their offsets: a range if there is no gap.
    #[getter]
    fn offsets(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let made = self.offsets.get_or_try_init(py, || self.make_offsets(py))?;
        Ok(made.clone_ref(py))
    }

    /// Bytes from the first to the last of these records, which are kept as long as this object.
    #[getter]
    fn kept_bytes(&self) -> u64 {
        let mut spans = vec![(u32::MAX, 0u32); self.data.len()];
        for position in &self.positions {
            let span = &mut spans[position.batch as usize];
            span.0 = span.0.min(position.key.start);
            span.1 = span.1.max(position.headers);
        }
        spans.iter().map(|(first, last)| u64::from(last.saturating_sub(*first))).sum()
    }

    /// Total bytes of the values of records `first` to `last - 1`.
    fn value_bytes(&self, first: usize, last: usize) -> u64 {
        self.slice(first, last)
            .iter()
            .map(|position| position.value.size())
            .sum()
    }

    /// Timestamps of records `first` to `last - 1`.
    fn timestamps<'py>(
        &self,
        py: Python<'py>,
        first: usize,
        last: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        PyList::new(
            py,
            self.slice(first, last)
                .iter()
                .map(|position| position.timestamp),
        )
    }

    /// The records below this offset.
    fn before(&self, offset: i64) -> Self {
        self.only(|position| position.offset < offset)
    }

    /// The records from this offset on.
    fn since(&self, offset: i64) -> Self {
        self.only(|position| position.offset >= offset)
    }

    /// The records with none of these offsets.
    fn without(&self, offsets: std::collections::HashSet<i64>) -> Self {
        self.only(|position| !offsets.contains(&position.offset))
    }

    /// Records `first` to `last - 1`.
    fn part(&self, first: usize, last: usize) -> Self {
        Self::made(self.data.clone(), self.slice(first, last).to_vec())
    }

    /// These records and then the others.
    fn joined(&self, others: &Self) -> Self {
        let before = self.data.len() as u32;
        let mut positions = self.positions.clone();
        positions.extend(others.positions.iter().map(|position| Position {
            batch: position.batch + before,
            ..*position
        }));
        Self::made(
            self.data.iter().chain(&others.data).cloned().collect(),
            positions,
        )
    }
}

impl Fetched {
    fn make_offsets(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (Some(first), Some(last)) = (self.positions.first(), self.positions.last()) else {
            return Ok(py.eval(c"()", None, None)?.unbind());
        };
        // Offsets rise, so there is no gap between them if as many fit.
        let end = last.offset.checked_add(1);
        let count = end.and_then(|end| end.checked_sub(first.offset));
        if let (Some(end), Some(count)) = (end, count) {
            if count == self.positions.len() as i64 {
                let range = PyRange::new(py, first.offset as isize, end as isize)?;
                return Ok(range.into_any().unbind());
            }
        }
        let offsets = self.positions.iter().map(|position| position.offset);
        Ok(PyList::new(py, offsets)?.into_any().unbind())
    }
}

/// Makes records one after the other.
#[pyclass(frozen, module = "streamapp_native")]
pub struct FetchedIterator {
    fetched: Py<Fetched>,
    place: AtomicUsize,
    first_timestamp: i64,
    timestamp: PyOnceLock<Py<PyInt>>,
}

#[pymethods]
impl FetchedIterator {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Record>> {
        let fetched = self.fetched.get();
        let place = self.place.load(Ordering::Relaxed);
        let Some(position) = fetched.positions.get(place) else {
            return Ok(None);
        };
        self.place.store(place + 1, Ordering::Relaxed);
        // A batch that was written at once has one timestamp, so one object serves all its records.
        let timestamp = if position.timestamp == self.first_timestamp {
            let made = || PyInt::new(py, self.first_timestamp).unbind();
            self.timestamp.get_or_init(py, made).clone_ref(py)
        } else {
            PyInt::new(py, position.timestamp).unbind()
        };
        fetched.make(py, position, timestamp).map(Some)
    }
}

/// Add what this file has to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Record>()?;
    module.add_class::<Fetched>()
}
