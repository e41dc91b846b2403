//! Partitions of keys, as Java's clients choose them.

use pyo3::prelude::*;

/// Add what this file has to the module.
pub fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
