//! Durations and ages of many records: the twin of `streamapp.observability.meter`.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

const NO_TIMESTAMP: i64 = -1;

/// What is added to a `Histogram`: counts by bucket, and the sum of all values.
struct Counts {
    by_bucket: Vec<u64>,
    total: i128,
}

impl Counts {
    fn of(histogram: &Bound<'_, PyAny>) -> PyResult<Self> {
        let last: usize = histogram
            .getattr(intern!(histogram.py(), "last"))?
            .extract()?;
        Ok(Counts {
            by_bucket: vec![0; last + 1],
            total: 0,
        })
    }

    /// Count a value; one below zero counts as zero.
    fn count(&mut self, units: i64) {
        let bits = (64 - units.max(0).leading_zeros()) as usize;
        let last = self.by_bucket.len() - 1;
        self.by_bucket[bits.min(last)] += 1;
    }

    fn add_to(&self, histogram: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = histogram.py();
        let counts = histogram
            .getattr(intern!(py, "counts"))?
            .cast_into::<PyList>()?;
        for (bucket, more) in self.by_bucket.iter().enumerate() {
            if *more > 0 {
                let before: u64 = counts.get_item(bucket)?.extract()?;
                counts.set_item(bucket, before + more)?;
            }
        }
        let total = intern!(py, "total");
        histogram.setattr(total, histogram.getattr(total)?.add(self.total)?)
    }
}

/// Count how long attempts took, in microseconds.
///
/// `marks` are monotonic seconds: an attempt began at one and ended at the next. The first began at
/// the mark `first`, and each further one `each` marks behind the one before.
#[pyfunction]
pub fn observe_durations(
    histogram: Bound<'_, PyAny>,
    marks: Bound<'_, PyList>,
    first: usize,
    each: usize,
) -> PyResult<()> {
    check(each)?;
    let mut counts = Counts::of(&histogram)?;
    let mut at = first;
    let mut seconds = 0.0;
    while at + 1 < marks.len() {
        let started: f64 = marks.get_item(at)?.extract()?;
        let ended: f64 = marks.get_item(at + 1)?.extract()?;
        counts.count(((ended - started) * 1e6) as i64);
        seconds += ended - started;
        at += each;
    }
    counts.total = ((seconds * 1e6).round_ties_even() as i128).max(0);
    counts.add_to(&histogram)
}

/// Count how old records were when they ended, in milliseconds.
///
/// Every `each`th of the marks is when a record ended; `timestamps` has one for each.
#[pyfunction]
pub fn observe_ages(
    histogram: Bound<'_, PyAny>,
    timestamps: Bound<'_, PyAny>,
    marks: Bound<'_, PyList>,
    each: usize,
    wall_less_monotonic: f64,
) -> PyResult<()> {
    check(each)?;
    let mut counts = Counts::of(&histogram)?;
    for (place, timestamp) in timestamps.try_iter()?.enumerate() {
        let timestamp: i64 = timestamp?.extract()?;
        let ended: f64 = marks.get_item((place + 1) * each)?.extract()?;
        let now_ms = ((ended + wall_less_monotonic) * 1000.0) as i64;
        if timestamp != NO_TIMESTAMP {
            let age = now_ms.saturating_sub(timestamp);
            counts.count(age);
            counts.total += i128::from(age.max(0));
        }
    }
    counts.add_to(&histogram)
}

fn check(each: usize) -> PyResult<()> {
    if each == 0 {
        return Err(PyValueError::new_err("`each` is 1 at least"));
    }
    Ok(())
}

/// Add what this file has to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(observe_durations, module)?)?;
    module.add_function(wrap_pyfunction!(observe_ages, module)?)
}
