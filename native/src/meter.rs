//! Durations of attempts and ages of records, counted many at once.

use pyo3::prelude::*;

/// Add what this file has to the module.
pub fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
