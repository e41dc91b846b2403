//! The hash of keys: the same as of Kafka's Java producer.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// 32-bit murmur2 as in `org.apache.kafka.common.utils.Utils`.
#[pyfunction]
pub fn murmur2(data: &[u8]) -> u32 {
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let word = word.wrapping_mul(MULTIPLIER);
        let word = (word ^ (word >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ word;
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        let tail = tail
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// Partition of a key among so many, as Java's `DefaultPartitioner` computes it.
#[pyfunction]
pub fn partition_for(key: &[u8], partitions: usize) -> PyResult<usize> {
    ((murmur2(key) & 0x7fff_ffff) as usize)
        .checked_rem(partitions)
        .ok_or_else(|| PyValueError::new_err("a topic has one partition at least"))
}

/// Add what this file has to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(murmur2, module)?)?;
    module.add_function(wrap_pyfunction!(partition_for, module)?)
}
