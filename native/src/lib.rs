//! The native leaves of streamapp: what is done with Kafka's bytes for each record, and nothing else.
//!
//! Each leaf has a twin in Python with the same behaviour; `streamapp/native_leaves.py` selects. A
//! panic is an exception in Python, never the end of the process.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use pyo3::prelude::*;

mod batches;
mod fetched;
mod json;
mod log;
mod meter;
mod partitioner;
mod positions;
mod record;
mod record_batch;
mod varint;
mod writer;

/// Raised together with each change of what Python calls here; Python selects its twins for another.
const INTERFACE: u32 = 3;

/// The native leaves of streamapp.
#[pymodule]
fn streamapp_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("INTERFACE", INTERFACE)?;
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    fetched::register(module)?;
    log::register(module)?;
    batches::register(module)?;
    partitioner::register(module)?;
    writer::register(module)?;
    meter::register(module)
}
