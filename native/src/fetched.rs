//! Records of fetched batches: their places in the bytes, each made when it is asked for.

use pyo3::prelude::*;

/// Add what this file has to the module.
pub fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
