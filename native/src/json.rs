//! JSON of plain Python values, byte for byte as orjson writes it, and what JSON it may read.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

const MAX_DEPTH: usize = 100;
/// Names of one object that are remembered, and how long they may be.
const MAX_NAMES: usize = 64;
const MAX_NAME_BYTES: usize = 64;

/// The value is not plain, or JSON does not have it: somebody else is to write it or to refuse it.
pub struct NotPlain;

/// Write text, integers of 64 bits, floats, booleans, null, and dicts and lists of these.
pub fn put_value(
    out: &mut Vec<u8>,
    value: &Bound<'_, PyAny>,
    depth: usize,
) -> Result<(), NotPlain> {
    if let Ok(text) = value.cast_exact::<PyString>() {
        put_text(out, text.to_str().map_err(|_| NotPlain)?);
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        put_integer(out, number)?;
    } else if value.is_none() {
        out.extend_from_slice(b"null");
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        out.extend_from_slice(if flag.is_true() { b"true" } else { b"false" });
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        put_float(out, number.value())?;
    } else if let Ok(fields) = value.cast_exact::<PyDict>() {
        put_fields(out, fields, depth)?;
    } else if let Ok(items) = value.cast_exact::<PyList>() {
        put_items(out, items, depth)?;
    } else {
        return Err(NotPlain);
    }
    Ok(())
}

pub fn put_fields(
    out: &mut Vec<u8>,
    fields: &Bound<'_, PyDict>,
    depth: usize,
) -> Result<(), NotPlain> {
    if depth >= MAX_DEPTH {
        return Err(NotPlain);
    }
    let mut before = b'{';
    for (name, value) in fields.iter() {
        out.push(before);
        let name = name.cast_exact::<PyString>().map_err(|_| NotPlain)?;
        put_text(out, name.to_str().map_err(|_| NotPlain)?);
        out.push(b':');
        put_value(out, &value, depth + 1)?;
        before = b',';
    }
    if before == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

/// The names of an object as they stand in JSON, by their places: records of a topic have the same.
#[derive(Default)]
pub struct Names(Vec<(Py<PyString>, Vec<u8>)>);

impl Names {
    /// Write an object as `put_fields` does, and hand each value to `note`.
    pub fn put_fields(
        &mut self,
        out: &mut Vec<u8>,
        fields: &Bound<'_, PyDict>,
        mut note: impl FnMut(&Bound<'_, PyAny>),
    ) -> Result<(), NotPlain> {
        let mut before = b'{';
        for (place, (name, value)) in fields.iter().enumerate() {
            note(&value);
            out.push(before);
            match self.0.get(place) {
                Some((known, written)) if name.is(known) => out.extend_from_slice(written),
                _ => self.put_name(out, place, name)?,
            }
            put_value(out, &value, 1)?;
            before = b',';
        }
        if before == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }

    #[cold]
    fn put_name(
        &mut self,
        out: &mut Vec<u8>,
        place: usize,
        name: Bound<'_, PyAny>,
    ) -> Result<(), NotPlain> {
        let name = name.cast_into_exact::<PyString>().map_err(|_| NotPlain)?;
        let mut written = Vec::new();
        put_text(&mut written, name.to_str().map_err(|_| NotPlain)?);
        written.push(b':');
        out.extend_from_slice(&written);
        if written.len() > MAX_NAME_BYTES {
        } else if let Some(known) = self.0.get_mut(place) {
            *known = (name.unbind(), written);
        } else if place == self.0.len() && place < MAX_NAMES {
            self.0.push((name.unbind(), written));
        }
        Ok(())
    }
}

fn put_items(out: &mut Vec<u8>, items: &Bound<'_, PyList>, depth: usize) -> Result<(), NotPlain> {
    if depth >= MAX_DEPTH {
        return Err(NotPlain);
    }
    let mut before = b'[';
    for item in items.iter() {
        out.push(before);
        put_value(out, &item, depth + 1)?;
        before = b',';
    }
    if before == b'[' {
        out.push(b'[');
    }
    out.push(b']');
    Ok(())
}

fn put_integer(out: &mut Vec<u8>, number: &Bound<'_, PyInt>) -> Result<(), NotPlain> {
    let mut digits = itoa::Buffer::new();
    let text = match number.extract::<i64>() {
        Ok(signed) => digits.format(signed),
        Err(_) => digits.format(number.extract::<u64>().map_err(|_| NotPlain)?),
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_float(out: &mut Vec<u8>, number: f64) -> Result<(), NotPlain> {
    // NaN is null for orjson, and its versions differ in how they write what needs an exponent.
    if number != 0.0 && !(1e-4..1e15).contains(&number.abs()) {
        return Err(NotPlain);
    }
    out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    if needs_escapes(bytes) {
        bytes.iter().for_each(|byte| put_escaped(out, *byte));
    } else {
        out.extend_from_slice(bytes);
    }
    out.push(b'"');
}

/// Whether there is a quote, a backslash or a control character; seldom.
fn needs_escapes(bytes: &[u8]) -> bool {
    let mut words = bytes.chunks_exact(8);
    let mut found = 0;
    for word in &mut words {
        found |= special_in(word.try_into().unwrap_or([b'"'; 8]));
    }
    let mut last = [b' '; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    found | special_in(last) != 0
}

/// Not zero if one of eight bytes needs an escape: the tests of bytes in a word of
/// https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord
fn special_in(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(bytes);
    let less = |than: u64, word: u64| word.wrapping_sub(ONES * than) & !word;
    let equal = |to: u8| less(1, word ^ (ONES * u64::from(to)));
    (less(0x20, word) | equal(b'"') | equal(b'\\')) & (ONES << 7)
}

fn put_escaped(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        0x00..=0x1f => {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            return;
        }
        _ => {
            out.push(byte);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// pydantic reads JSON of at most 200 levels.
const MOST_OPENED: usize = 150;

/// Whether a quick reader may read this JSON otherwise than a careful one: it has an integer of so
/// many digits, or is deeper than pydantic goes.
pub fn is_in_doubt(data: &[u8], digits: usize) -> bool {
    has_long_number(data, digits) || opened(data) > MOST_OPENED
}

/// How many brackets and braces are opened, those in text included.
fn opened(data: &[u8]) -> usize {
    // The two differ in one bit. A sum of bytes is one that the compiler makes wide.
    let is_opening = |byte: &u8| u8::from(*byte | 0x20 == b'{');
    data.chunks(255)
        .map(|some| {
            // 255 do not overflow; a sum that looks for that is eight times as long.
            let sum = some
                .iter()
                .fold(0u8, |sum, byte| sum.wrapping_add(is_opening(byte)));
            usize::from(sum)
        })
        .sum()
}

/// Whether so many digits stand in a row: with 19, such a row has a digit at every 19th byte.
fn has_long_number(data: &[u8], digits: usize) -> bool {
    let is_digit = |at: &usize| data[*at].is_ascii_digit();
    (digits - 1..data.len())
        .step_by(digits)
        .filter(is_digit)
        .any(|at| {
            let before = data[..at]
                .iter()
                .rev()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            let behind = data[at..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            before + behind >= digits
        })
}
