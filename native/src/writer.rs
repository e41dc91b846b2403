//! Values of agents to records of output batches: encoded, checked and appended in one call.

use crate::batches::TopicBatches;
use crate::json::{is_in_doubt, put_value, Names};
use crate::record::Record;
use crate::record_batch::{encode_headers, NewRecord};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple, PyType};

/// What Kafka adds to key and value at most, as in `streamapp.runtime.output_topic`.
const BATCH_OVERHEAD_BYTES: usize = 61 + 36;
const HEADER_OVERHEAD_BYTES: usize = 10;
const ERROR_HEADERS: &str = "streamapp.error.";
/// Sets of types of fields that are compared without asking Python.
const MAX_KNOWN: usize = 8;

/// How values of a type are written as JSON; what is not plain is left to Python.
enum Form {
    /// The fields of a class.
    Fields(Fields),
    /// The values of a class without a `__dict__`.
    Values(Values),
    /// Any JSON.
    Json(Names),
    /// Only Python can tell.
    Other,
}

/// The fields of a class, which are plain if their types are among `kinds`.
struct Fields {
    class: Py<PyType>,
    kinds: PlainKinds,
    dumps: Py<PyAny>,
    names: Names,
    found: Vec<usize>,
}

/// A class without a `__dict__`, which `dumps` writes if the types of its values are among `kinds`.
struct Values {
    class: Py<PyType>,
    kinds: PlainKinds,
    values_of: Py<PyAny>,
    dumps: Py<PyAny>,
}

/// Types of fields with which a value is plain, and those of them that are known without asking.
struct PlainKinds {
    all: Py<PyAny>,
    known: Vec<Kinds>,
}

/// The types of fields in their order, which are kept so that their addresses stay theirs.
struct Kinds {
    addresses: Vec<usize>,
    _types: Py<PyTuple>,
}

/// Writes the values of a type.
#[pyclass(module = "streamapp_native")]
pub struct Encoding {
    form: Form,
    otherwise: Py<PyAny>,
    scratch: Vec<u8>,
}

#[pymethods]
impl Encoding {
    /// `otherwise` writes any value or raises.
    #[new]
    fn new(otherwise: Py<PyAny>) -> Self {
        Encoding {
            form: Form::Other,
            otherwise,
            scratch: Vec::new(),
        }
    }

    /// The encoding of JSON without a schema.
    #[staticmethod]
    fn of_json(otherwise: Py<PyAny>) -> Self {
        Encoding {
            form: Form::Json(Names::default()),
            ..Encoding::new(otherwise)
        }
    }

    /// The encoding of a class whose fields are plain if their types are among `kinds`.
    #[staticmethod]
    fn of_fields(
        class: Py<PyType>,
        kinds: Py<PyAny>,
        dumps: Py<PyAny>,
        otherwise: Py<PyAny>,
    ) -> Self {
        let fields = Fields {
            class,
            kinds: PlainKinds::of(kinds),
            dumps,
            names: Names::default(),
            found: Vec::new(),
        };
        Encoding {
            form: Form::Fields(fields),
            ..Encoding::new(otherwise)
        }
    }

    /// The encoding of a class whose values, as `values_of` gives them in a tuple, are plain if their
    /// types are among `kinds`.
    #[staticmethod]
    fn of_values(
        class: Py<PyType>,
        kinds: Py<PyAny>,
        values_of: Py<PyAny>,
        dumps: Py<PyAny>,
        otherwise: Py<PyAny>,
    ) -> Self {
        let values = Values {
            class,
            kinds: PlainKinds::of(kinds),
            values_of,
            dumps,
        };
        Encoding {
            form: Form::Values(values),
            ..Encoding::new(otherwise)
        }
    }

    /// The bytes of a value.
    fn encode<'py>(
        slf: &Bound<'py, Self>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut out = Vec::with_capacity(512);
        Encoding::put(slf, &mut out, value)?;
        Ok(PyBytes::new(slf.py(), &out))
    }
}

impl Encoding {
    fn put(slf: &Bound<'_, Self>, out: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let is_written = slf.try_borrow_mut()?.put_plain(out, value);
        if is_written.unwrap_or(false) {
            return Ok(());
        }
        out.clear();
        let otherwise = slf.try_borrow()?.otherwise.clone_ref(slf.py());
        let encoded = otherwise.bind(slf.py()).call1((value,))?;
        out.extend_from_slice(encoded.cast::<PyBytes>()?.as_bytes());
        Ok(())
    }

    /// Write the value if it is plain; false, or an error, if somebody else is to write it.
    fn put_plain(&mut self, out: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        match &mut self.form {
            Form::Other => Ok(false),
            Form::Json(names) => {
                if let Ok(fields) = value.cast_exact::<PyDict>() {
                    return Ok(names.put_fields(out, fields, |_| ()).is_ok());
                }
                Ok(put_value(out, value, 0).is_ok())
            }
            Form::Fields(fields) => fields.put(out, value),
            Form::Values(values) => values.put(out, value),
        }
    }
}

impl Fields {
    fn put(&mut self, out: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        if !value.get_type().is(&self.class) {
            return Ok(false);
        }
        let fields = value.getattr(intern!(py, "__dict__"))?;
        let fields = fields.cast::<PyDict>()?;
        self.found.clear();
        let found = &mut self.found;
        let note = |own: &Bound<'_, PyAny>| found.push(type_at(own));
        let is_written = self.names.put_fields(out, fields, note).is_ok();
        if is_written && self.kinds.know(|| self.found.iter().copied()) {
            return Ok(true);
        }
        let types = fields
            .iter()
            .map(|(_, own)| own.get_type())
            .collect::<Vec<_>>();
        let types = PyTuple::new(py, types)?;
        if !self.kinds.contain(&types)? {
            return Ok(false);
        }
        if is_written {
            self.kinds.remember(types);
        } else {
            out.clear();
            let encoded = self.dumps.bind(py).call1((fields,))?;
            out.extend_from_slice(encoded.cast::<PyBytes>()?.as_bytes());
        }
        Ok(true)
    }
}

impl Values {
    fn put(&mut self, out: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        if !value.get_type().is(&self.class) {
            return Ok(false);
        }
        let values = self.values_of.bind(py).call1((value,))?;
        let values = values.cast::<PyTuple>()?;
        if !self
            .kinds
            .know(|| values.iter_borrowed().map(|own| type_at(&own)))
        {
            let types = PyTuple::new(py, values.iter_borrowed().map(|own| own.get_type()))?;
            if !self.kinds.contain(&types)? {
                return Ok(false);
            }
            self.kinds.remember(types);
        }
        let encoded = self.dumps.bind(py).call1((value,))?;
        out.extend_from_slice(encoded.cast::<PyBytes>()?.as_bytes());
        Ok(true)
    }
}

impl PlainKinds {
    fn of(all: Py<PyAny>) -> Self {
        let known = Vec::new();
        PlainKinds { all, known }
    }

    /// Whether these addresses of types are remembered.
    fn know<I: Iterator<Item = usize>>(&self, addresses: impl Fn() -> I) -> bool {
        let are_same = |one: &Kinds| one.addresses.iter().copied().eq(addresses());
        self.known.iter().any(are_same)
    }

    /// Ask Python.
    fn contain(&self, types: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.all.bind(types.py()).contains(types)
    }

    fn remember(&mut self, types: Bound<'_, PyTuple>) {
        if self.known.len() < MAX_KNOWN {
            self.known.push(Kinds {
                addresses: types
                    .iter_borrowed()
                    .map(|own| own.as_ptr() as usize)
                    .collect(),
                _types: types.unbind(),
            });
        }
    }
}

fn type_at(value: &Bound<'_, PyAny>) -> usize {
    value.get_type_ptr() as usize
}

/// Writes values to the batches of a topic, as long as its limits stay as they are.
#[pyclass(module = "streamapp_native")]
pub struct Writer {
    batches: Py<TopicBatches>,
    encoding: Py<Encoding>,
    topic: Py<PyAny>,
    without_error_headers: Py<PyAny>,
    most_bytes: usize,
    needs_keys: bool,
}

#[pymethods]
impl Writer {
    /// `topic` is an `OutputTopic`, which is asked about what may be too large.
    #[new]
    fn new(
        batches: Py<TopicBatches>,
        encoding: Py<Encoding>,
        topic: Bound<'_, PyAny>,
        without_error_headers: Py<PyAny>,
    ) -> PyResult<Self> {
        let most: usize = topic.getattr("max_message_bytes")?.extract()?;
        let extra: usize = topic
            .getattr("event_times")?
            .getattr("extra_bytes")?
            .extract()?;
        Ok(Writer {
            batches,
            encoding,
            needs_keys: topic.getattr("needs_keys")?.is_truthy()?,
            most_bytes: most.saturating_sub(BATCH_OVERHEAD_BYTES + extra),
            topic: topic.unbind(),
            without_error_headers,
        })
    }

    /// Write a value under the key of a record, with its headers and timestamp.
    fn write(&self, value: Bound<'_, PyAny>, record: Bound<'_, PyAny>) -> PyResult<()> {
        let (key, headers, timestamp) = parts_of(&record)?;
        self.put(value, key, headers, timestamp)
    }

    /// Write a value under another key.
    fn write_keyed(
        &self,
        value: Bound<'_, PyAny>,
        record: Bound<'_, PyAny>,
        key: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (_, headers, timestamp) = parts_of(&record)?;
        self.put(value, key, headers, timestamp)
    }
}

/// Key, headers and timestamp of a record; Python is asked for those of other brokers.
fn parts_of<'py>(
    record: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>, i64)> {
    let py = record.py();
    if let Ok(own) = record.cast_exact::<Record>() {
        let own = own.get();
        let headers = own.headers.bind(py).clone().into_any();
        return Ok((
            own.key.bind(py).clone(),
            headers,
            own.timestamp.extract(py)?,
        ));
    }
    Ok((
        record.getattr(intern!(py, "key"))?,
        record.getattr(intern!(py, "headers"))?,
        record.getattr(intern!(py, "timestamp"))?.extract()?,
    ))
}

impl Writer {
    fn put(
        &self,
        value: Bound<'_, PyAny>,
        key: Bound<'_, PyAny>,
        headers: Bound<'_, PyAny>,
        timestamp: i64,
    ) -> PyResult<()> {
        let py = value.py();
        let key = if key.is_none() {
            None
        } else {
            Some(key.cast_into::<PyBytes>()?)
        };
        let headers = self.kept_headers(headers)?;
        let encoding = self.encoding.bind(py);
        let mut out = std::mem::take(&mut encoding.try_borrow_mut()?.scratch);
        out.clear();
        Encoding::put(encoding, &mut out, &value)?;
        let mut encoded = Vec::new();
        let new = NewRecord {
            timestamp,
            key: key.as_ref().map(|bytes| bytes.as_bytes()),
            value: Some(&out),
            headers: encode_headers(&headers, &mut encoded)?,
        };
        self.check(py, &new, &headers)?;
        self.batches
            .bind(py)
            .try_borrow_mut()?
            .add(py, &new, Some(&headers))?;
        encoding.try_borrow_mut()?.scratch = out;
        Ok(())
    }

    /// Headers less those of an earlier dead letter.
    fn kept_headers<'py>(&self, headers: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if headers.len()? == 0 {
            return Ok(headers);
        }
        for header in headers.try_iter()? {
            let name = header?.get_item(0)?;
            if name
                .cast::<PyString>()?
                .to_str()
                .is_ok_and(|name| name.starts_with(ERROR_HEADERS))
            {
                return self
                    .without_error_headers
                    .bind(headers.py())
                    .call1((headers,));
            }
        }
        Ok(headers)
    }

    /// Have the topic refuse what it would refuse; most records fit for certain.
    fn check(&self, py: Python<'_>, new: &NewRecord, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = new.value.unwrap_or_default();
        let mut size = value.len() + new.key.map_or(0, <[u8]>::len);
        if new.headers.len() > 1 {
            size += new.headers.len() + headers.len()? * HEADER_OVERHEAD_BYTES;
        }
        if size <= self.most_bytes && (new.key.is_some() || !self.needs_keys) {
            return Ok(());
        }
        let key = new.key.map(|key| PyBytes::new(py, key));
        let given = (key, PyBytes::new(py, value), headers);
        self.topic
            .bind(py)
            .call_method1(intern!(py, "check"), given)?;
        Ok(())
    }
}

/// Reads JSON with a quick reader, or with a careful one where the two may differ.
#[pyclass(module = "streamapp_native", frozen)]
pub struct JsonReader {
    loads: Py<PyAny>,
    otherwise: Py<PyAny>,
    outermost: Option<Py<PyType>>,
    digits: usize,
}

#[pymethods]
impl JsonReader {
    /// `digits` is how many of them an integer has at least for `loads` to read it as another number;
    /// `outermost` is the type that a value has, if it has to be of one.
    #[new]
    #[pyo3(signature = (loads, otherwise, *, digits, outermost = None))]
    fn new(
        loads: Py<PyAny>,
        otherwise: Py<PyAny>,
        digits: usize,
        outermost: Option<Py<PyType>>,
    ) -> PyResult<Self> {
        if digits == 0 {
            return Err(PyValueError::new_err("a number has one digit at least"));
        }
        Ok(JsonReader {
            loads,
            otherwise,
            outermost,
            digits,
        })
    }

    fn read<'py>(&self, data: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = data.py();
        if let Ok(bytes) = data.cast_exact::<PyBytes>() {
            if !is_in_doubt(bytes.as_bytes(), self.digits) {
                if let Ok(value) = self.loads.bind(py).call1((bytes,)) {
                    let fits = |own: &Py<PyType>| value.get_type().is(own);
                    if self.outermost.as_ref().is_none_or(fits) {
                        return Ok(value);
                    }
                }
            }
        }
        self.otherwise.bind(py).call1((data,))
    }
}

/// Add what this file has to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Encoding>()?;
    module.add_class::<Writer>()?;
    module.add_class::<JsonReader>()
}
