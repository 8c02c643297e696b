//! Owns the bytes of globals: keys and values as the kernel holds them, to and from values of the language. Calls no
//! kernel.

use super::Compiled;
use super::map::{GlobalLayout, KeyPart};
use crate::ir::{ContainerIndex, Ty};
use crate::value::Value;

impl Compiled {
    /// The keys that mean a tuple: several where containers of one name belong to it, none where no container has
    /// that name or the tuple is none of this map.
    pub fn encode_key(&self, layout: &[KeyPart], key: &[Value]) -> Vec<Vec<u8>> {
        if layout.len() != key.len() {
            return Vec::new();
        }
        let mut keys = vec![Vec::new()];
        for (part, value) in layout.iter().zip(key) {
            let parts: Vec<Vec<u8>> = match (part, value) {
                (KeyPart::Int, Value::Int(number)) => vec![number.to_le_bytes().to_vec()],
                (KeyPart::Text, Value::Str { bytes, truncated }) => vec![self.text.to_bytes(bytes, *truncated)],
                (KeyPart::Text, Value::Stack(stack)) => vec![self.text.to_bytes(stack.text("\n").as_bytes(), false)],
                (KeyPart::Container, Value::Str { bytes, .. }) => (0u64..)
                    .zip(&self.containers)
                    .filter(|(_, known)| known.name.as_bytes() == bytes.as_slice())
                    .map(|(index, _)| index.to_le_bytes().to_vec())
                    .collect(),
                (KeyPart::Int, Value::Str { .. } | Value::Fault)
                | (KeyPart::Text | KeyPart::Container, Value::Int(_) | Value::Fault)
                | (KeyPart::Int | KeyPart::Container, Value::Stack(_))
                | (KeyPart::Int | KeyPart::Text | KeyPart::Container, Value::Stats(_) | Value::Table(_)) => Vec::new(),
            };
            keys = keys
                .iter()
                .flat_map(|head: &Vec<u8>| parts.iter().map(move |tail| [head.as_slice(), tail].concat()))
                .collect();
        }
        keys
    }

    /// The tuple of a key; `None` for bytes that are none.
    pub fn decode_key(&self, layout: &[KeyPart], mut key: &[u8]) -> Option<Vec<Value>> {
        let mut values = Vec::with_capacity(layout.len());
        for part in layout {
            let size = match part {
                KeyPart::Int | KeyPart::Container => 8,
                KeyPart::Text => self.text.slot() as usize,
            };
            let (head, tail) = key.split_at_checked(size)?;
            key = tail;
            values.push(match part {
                KeyPart::Int => Value::Int(i64::from_le_bytes(head.try_into().ok()?)),
                KeyPart::Text => self.text.from_bytes(head),
                KeyPart::Container => {
                    let index = u32::try_from(u64::from_le_bytes(head.try_into().ok()?)).ok()?;
                    Value::str(self.container(ContainerIndex(index))?.name.as_str())
                }
            });
        }
        key.is_empty().then_some(values)
    }

    /// A value as the kernel holds it; `None` for one of another type.
    pub fn encode_value(&self, ty: Ty, value: &Value) -> Option<Vec<u8>> {
        match (ty, value) {
            (Ty::Int, Value::Int(number)) => Some(number.to_le_bytes().to_vec()),
            (Ty::Str, Value::Str { bytes, truncated }) => Some(self.text.to_bytes(bytes, *truncated)),
            (Ty::Str, Value::Stack(stack)) => Some(self.text.to_bytes(stack.text("\n").as_bytes(), false)),
            (Ty::Int, Value::Str { .. } | Value::Stack(_) | Value::Fault) | (Ty::Str, Value::Int(_) | Value::Fault) => {
                None
            }
            (Ty::Int | Ty::Str, Value::Stats(_) | Value::Table(_)) => None,
        }
    }

    /// A value from what the kernel holds.
    pub fn decode_value(&self, ty: Ty, bytes: &[u8]) -> Value {
        match ty {
            Ty::Int => bytes.try_into().map_or(Value::Fault, |bytes| Value::Int(i64::from_le_bytes(bytes))),
            Ty::Str => self.text.from_bytes(bytes),
        }
    }

    /// The layout of a global.
    pub fn global(&self, index: crate::ir::GlobalIndex) -> Option<&GlobalLayout> {
        self.globals.get(index.0 as usize)
    }
}
