//! Output batches: records appended to the batch of their partition, as Kafka has them.

use pyo3::prelude::*;

/// Add what this file has to the module.
pub fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
