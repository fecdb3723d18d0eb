//! Reading logs of any size in bounded memory: line by line, or one element of a list at a time.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Bytes of one line, or of one element: 32 MiB is the largest request that a provider takes.
pub const LIMIT: usize = 32 << 20;

/// Calls `take` with each line of a reader and its number, from 1. Lines over the limit are skipped and
/// counted. Lines that are not UTF-8 are counted and given with replacement characters.
pub fn each_line(reader: impl Read, mut take: impl FnMut(u64, &str)) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let mut line = Vec::new();
    let mut number = 0;
    let mut too_long = 0;
    loop {
        line.clear();
        let read = (&mut reader).take(LIMIT as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(too_long);
        }
        number += 1;
        if line.last() != Some(&b'\n') && line.len() > LIMIT {
            too_long += 1;
            skip_line(&mut reader)?;
            line = Vec::new();
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        take(number, text.trim_end_matches(['\n', '\r']));
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Counts of the lines of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Lines, elements or rows that were read
    pub read: u64,
    /// Those that are not JSON, or too long
    pub foreign: u64,
}

/// Calls `take` with each JSON object of a file of JSON lines. Other lines are counted.
pub fn each_object(path: &Path, mut take: impl FnMut(u64, &Value)) -> io::Result<LineCounts> {
    let mut passed = LineCounts::default();
    let too_long = each_line(File::open(path)?, |number, line| {
        if line.trim().is_empty() {
            return;
        }
        passed.read += 1;
        match serde_json::from_str::<Value>(line) {
            Ok(value) if value.is_object() => take(number, &value),
            Ok(_) | Err(_) => passed.foreign += 1,
        }
    })?;
    passed.foreign += too_long;
    Ok(passed)
}

/// A part of a document, during reading.
#[derive(Debug)]
pub enum Part<'a> {
    /// A member of the document that is not a list
    Member(&'a str, Value),
    /// An element of a list of the document, and its number from 1
    Element(&'a str, u64, Value),
}

/// Reads a JSON document without keeping it in memory: each member of the object, and each element of
/// lists in it. An element over the limit is an error; so is a document that is cut off, after what came
/// before.
pub fn each_part(path: &Path, take: &mut dyn FnMut(Part<'_>)) -> io::Result<()> {
    let spent = Rc::new(Cell::new(0));
    let metered = MeteredFile { reader: File::open(path)?, spent: Rc::clone(&spent) };
    let mut reader = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 16, metered));
    reader.deserialize_any(Document { take, spent }).map_err(io::Error::from)
}

/// Counts bytes between two elements.
struct MeteredFile {
    reader: File,
    spent: Rc<Cell<usize>>,
}

impl Read for MeteredFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let spent = self.spent.get() + read;
        self.spent.set(spent);
        if spent > LIMIT {
            return Err(io::Error::other(format!("one element is larger than {} MiB", LIMIT >> 20)));
        }
        Ok(read)
    }
}

struct Document<'t> {
    take: &'t mut dyn FnMut(Part<'_>),
    spent: Rc<Cell<usize>>,
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object or a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            self.spent.set(0);
            members.next_value_seed(Member { name: &name, take: &mut *self.take, spent: &self.spent })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
        Member { name: "", take: self.take, spent: &self.spent }.visit_seq(elements)
    }
}

struct Member<'t> {
    name: &'t str,
    take: &'t mut dyn FnMut(Part<'_>),
    spent: &'t Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut number = 0;
        self.spent.set(0);
        while let Some(element) = elements.next_element::<Value>()? {
            self.spent.set(0);
            number += 1;
            (self.take)(Part::Element(self.name, number, element));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            object.insert(name, value);
        }
        (self.take)(Part::Member(self.name, Value::Object(object)));
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        (self.take)(Part::Member(self.name, Value::from(text)));
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        (self.take)(Part::Member(self.name, Value::from(number)));
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        (self.take)(Part::Member(self.name, Value::from(number)));
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(IgnoredAny).map(|_| ())
    }
}

/// The first bytes of a file, to recognize its type.
pub fn beginning(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(64 << 10).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_over_the_limit_is_passed_over() {
        let mut input = b"a\n".to_vec();
        input.extend(vec![b'x'; LIMIT + 5]);
        input.extend(b"\nb\nc");
        let mut lines = Vec::new();
        let too_long =
            each_line(input.as_slice(), |number, line| lines.push((number, line.to_owned()))).unwrap();
        assert_eq!(too_long, 1);
        assert_eq!(lines, [(1, "a".to_owned()), (3, "b".to_owned()), (4, "c".to_owned())]);
    }

    #[test]
    fn a_document_comes_in_parts_and_a_cut_one_up_to_the_cut() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(br#"{"id":"s","n":1,"x":null,"messages":[{"a":1},{"a":2},{"a":"#).unwrap();
        let mut parts = Vec::new();
        let read = each_part(file.path(), &mut |part| parts.push(format!("{part:?}")));
        assert!(read.is_err());
        assert_eq!(parts.len(), 4, "{parts:?}");
    }

    #[test]
    fn an_element_over_the_limit_is_an_error() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "[\"{}\"]", "x".repeat(LIMIT + (1 << 17))).unwrap();
        let read = each_part(file.path(), &mut |_| ());
        assert!(read.unwrap_err().to_string().contains("larger than 32 MiB"));
    }
}
