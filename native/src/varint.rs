//! Numbers of Kafka's format: big-endian ones in headers, zigzag ones of variable length in records.

/// Reads one after the other from bytes. What is not there is `None`, never a panic.
pub struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Reader<'a> {
    /// Read these bytes from a place on.
    pub fn new(bytes: &'a [u8], place: usize) -> Self {
        Reader { bytes, place }
    }

    /// Where the next number begins.
    pub fn place(&self) -> usize {
        self.place
    }

    /// A zigzag number of at most ten bytes.
    #[inline]
    pub fn varint(&mut self) -> Option<i64> {
        let first = *self.bytes.get(self.place)?;
        self.place += 1;
        if first < 0x80 {
            return Some(zigzag(u64::from(first)));
        }
        let mut raw = u64::from(first & 0x7f);
        for shift in 1..10u32 {
            let byte = *self.bytes.get(self.place)?;
            self.place += 1;
            raw |= u64::from(byte & 0x7f).checked_shl(7 * shift)?;
            if byte < 0x80 {
                return Some(zigzag(raw));
            }
        }
        None
    }

    /// The next bytes; their length is given.
    #[inline]
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.place.checked_add(length)?;
        let taken = self.bytes.get(self.place..end)?;
        self.place = end;
        Some(taken)
    }

    /// Where the next bytes begin, whose length stands before them; -1 is none at all.
    #[inline]
    pub fn sized(&mut self) -> Option<Span> {
        let length = self.varint()?;
        let start = u32::try_from(self.place).ok()?;
        let Ok(known) = usize::try_from(length) else {
            return Some(Span { start, length: -1 });
        };
        self.take(known)?;
        Some(Span {
            start,
            length: i32::try_from(length).ok()?,
        })
    }
}

/// A place in bytes; with the length -1 it is nothing, which is not the same as empty.
#[derive(Clone, Copy)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// Its bytes, or -1.
    pub length: i32,
}

impl Span {
    /// The bytes at this place, `None` for nothing.
    #[inline]
    pub fn of<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let length = usize::try_from(self.length).ok()?;
        let start = self.start as usize;
        bytes.get(start..start + length)
    }

    /// How many bytes it has; nothing has none.
    #[inline]
    pub fn size(&self) -> u64 {
        u64::try_from(self.length).unwrap_or(0)
    }
}

#[inline]
fn zigzag(raw: u64) -> i64 {
    ((raw >> 1) as i64) ^ -((raw & 1) as i64)
}

/// The big-endian number of eight bytes at this place.
pub fn int64(bytes: &[u8], place: usize) -> Option<i64> {
    Some(i64::from_be_bytes(
        bytes.get(place..place + 8)?.try_into().ok()?,
    ))
}

/// The big-endian number of four bytes at this place.
pub fn int32(bytes: &[u8], place: usize) -> Option<i32> {
    Some(i32::from_be_bytes(
        bytes.get(place..place + 4)?.try_into().ok()?,
    ))
}

/// The big-endian number of two bytes at this place.
pub fn int16(bytes: &[u8], place: usize) -> Option<i16> {
    Some(i16::from_be_bytes(
        bytes.get(place..place + 2)?.try_into().ok()?,
    ))
}
