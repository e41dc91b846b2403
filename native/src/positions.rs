//! Where the records of a batch stand in its bytes.

use crate::varint::{Reader, Span};

/// A record has at least seven bytes; a damaged count must not take memory for more.
const LEAST_BYTES: usize = 7;

/// A record as its place in the bytes of its batch.
#[derive(Clone, Copy)]
pub struct Position {
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// Key bytes.
    pub key: Span,
    /// Value bytes.
    pub value: Span,
    /// First byte of the headers, behind their count.
    pub headers: u32,
    /// Number of headers.
    pub header_count: u32,
    /// Which of several batches it is in.
    pub batch: u32,
}

/// What is the same for all records of a batch.
pub struct Base {
    /// Offset that the records count from.
    pub offset: i64,
    /// Timestamp that the records count from.
    pub timestamp: i64,
    /// The timestamp of all records, if the broker sets them.
    pub append_time: Option<i64>,
    /// How many records there are said to be.
    pub records: i32,
}

/// Find all records from a place on; positions count from the beginning of the bytes.
///
/// With an error, what stands before the broken record is returned too.
pub fn find(bytes: &[u8], first: usize, base: &Base) -> (Vec<Position>, Option<String>) {
    let count = usize::try_from(base.records).unwrap_or(0);
    let mut found = Vec::with_capacity(count.min(bytes.len() / LEAST_BYTES));
    let mut reader = Reader::new(bytes, first);
    for _ in 0..count {
        match next(&mut reader, bytes, base) {
            Ok(position) => found.push(position),
            Err(error) => return (found, Some(error)),
        }
    }
    let left = bytes.len().saturating_sub(reader.place());
    let error = (left > 0).then(|| format!("{left} bytes are left behind the last record"));
    (found, error)
}

#[inline]
fn next(reader: &mut Reader<'_>, bytes: &[u8], base: &Base) -> Result<Position, String> {
    let broken = || "a record does not end where its batch does".to_owned();
    let length = reader.varint().ok_or_else(broken)?;
    let start = reader.place();
    reader.varint().ok_or_else(broken)?; // attributes: always 0 so far, and read as the client does
    let timestamp_delta = reader.varint().ok_or_else(broken)?;
    let offset_delta = reader.varint().ok_or_else(broken)?;
    let key = reader.sized().ok_or_else(broken)?;
    let value = reader.sized().ok_or_else(broken)?;
    let header_count = reader.varint().ok_or_else(broken)?;
    let header_count =
        u32::try_from(header_count).map_err(|_| format!("a record with {header_count} headers"))?;
    let headers = u32::try_from(reader.place()).map_err(|_| broken())?;
    for _ in 0..header_count {
        let name = reader.sized().ok_or_else(broken)?;
        let name = name.of(bytes).ok_or("a header without a name")?;
        std::str::from_utf8(name).map_err(|error| format!("the name of a header: {error}"))?;
        reader.sized().ok_or_else(broken)?;
    }
    let read = reader.place() - start;
    if usize::try_from(length) != Ok(read) {
        return Err(format!("a record of {length} bytes has {read}"));
    }
    let timestamp = match base.append_time {
        Some(timestamp) => timestamp,
        None => base
            .timestamp
            .checked_add(timestamp_delta)
            .ok_or("a timestamp too large")?,
    };
    Ok(Position {
        offset: base
            .offset
            .checked_add(offset_delta)
            .ok_or("an offset too large")?,
        timestamp,
        key,
        value,
        headers,
        header_count,
        batch: 0,
    })
}
