//! Owns what is read of the traced task's memory: numbers, texts, blocks.

use super::{Interpreter, Result, Stop};
use crate::ir::{Block, Expr};
use crate::source::Span;
use crate::value::Value;

impl Interpreter<'_, '_> {
    /// A number of 1 to 8 bytes.
    pub(super) fn load(&mut self, address: &Expr, size: u8, signed: bool, span: Span) -> Result<Value> {
        let address = self.int(address)?.cast_unsigned();
        let mut bytes = [0u8; 8];
        let read = bytes.get_mut(..usize::from(size)).is_some_and(|wanted| self.machine.read_memory(address, wanted));
        if !read {
            return Err(Stop::Fault(span).into());
        }
        let number = i64::from_le_bytes(bytes);
        Ok(Value::Int(if size < 8 { super::extend(number, size * 8, signed) } else { number }))
    }

    /// The text at an address up to its first NUL, of at most `most` bytes where there is a bound.
    pub(super) fn text(&mut self, address: &Expr, most: Option<&Expr>, span: Span) -> Result<Value> {
        let address = self.int(address)?.cast_unsigned();
        let most = most.map(|most| self.int(most)).transpose()?;
        let most = most.map_or(u64::MAX, |most| u64::try_from(most).unwrap_or(0));
        self.read_text(address, most).ok_or_else(|| Stop::Fault(span).into())
    }

    /// Byte by byte: the page behind its NUL may not be there.
    fn read_text(&mut self, address: u64, most: u64) -> Option<Value> {
        let limit = self.machine.string_limit();
        let mut bytes = Vec::new();
        for offset in 0..most {
            let mut byte = [0u8];
            if !self.machine.read_memory(address.checked_add(offset)?, &mut byte) {
                return None;
            }
            if byte[0] == 0 {
                break;
            }
            if bytes.len() >= limit {
                return Some(Value::Str { bytes, truncated: true });
            }
            bytes.push(byte[0]);
        }
        Some(Value::Str { bytes, truncated: false })
    }

    /// That many bytes, whatever they are.
    pub(super) fn bytes(&mut self, address: &Expr, length: &Expr, span: Span) -> Result<Value> {
        let address = self.int(address)?.cast_unsigned();
        let length = usize::try_from(self.int(length)?).unwrap_or(0);
        let limit = self.machine.string_limit();
        let mut bytes = vec![0; length.min(limit)];
        if !bytes.is_empty() && !self.machine.read_memory(address, &mut bytes) {
            return Err(Stop::Fault(span).into());
        }
        Ok(Value::Str { bytes, truncated: length > limit })
    }

    /// The bytes of a value that is shown whole.
    pub(super) fn block(&mut self, block: &Block, span: Span) -> Result<Value> {
        let bytes = match block {
            Block::Memory { address, size } => {
                let address = self.int(address)?.cast_unsigned();
                let mut bytes = vec![0; usize::try_from(*size).map_err(|_| Stop::Fault(span))?];
                if !self.machine.read_memory(address, &mut bytes) {
                    return Err(Stop::Fault(span).into());
                }
                bytes
            }
            Block::Kept { .. } => return Err(Stop::NotHere(span).into()),
            Block::Parts(parts) => {
                let mut bytes = Vec::new();
                for (part, size) in parts {
                    let number = self.int(part)?.to_le_bytes();
                    bytes.extend(number.get(..usize::from(*size)).ok_or(Stop::Fault(span))?);
                }
                bytes
            }
        };
        Ok(Value::Str { bytes, truncated: false })
    }
}
