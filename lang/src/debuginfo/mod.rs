//! Owns reading ELF and DWARF: bytes of a module in, [`facts`] out. Names no container, knows no engine, and never
//! trusts a size, an offset or a count it read.

pub mod facts;

use std::sync::Arc;

use crate::world::ReadAt;
use facts::{BuildId, DebugError, Function, Type, TypeId};

/// An ELF file opened for reading: its identity, and look-ups of functions, types and values in it.
pub struct Module {
    bytes: Arc<dyn ReadAt>,
}

impl Module {
    /// Reads the ELF headers; debug info is read when first asked for.
    ///
    /// # Errors
    /// [`DebugError`] when it is no x86-64 ELF file, or malformed.
    pub fn open(bytes: Arc<dyn ReadAt>) -> Result<Module, DebugError> {
        Ok(Module { bytes })
    }

    /// Its build id, where it has one.
    pub fn build_id(&self) -> Option<&BuildId> {
        None
    }

    /// Whether it has DWARF with units in it (`.debug_info`), its own.
    pub fn has_dwarf(&self) -> bool {
        self.bytes.size() == u64::MAX
    }

    /// The functions a name means, with all their sites: a name some function bears exactly is literal, otherwise
    /// `* ? […]` match. Empty where there is none. Without DWARF: by symbol.
    ///
    /// # Errors
    /// [`DebugError`] when the debug info is malformed or over a limit.
    pub fn functions(&self, _name: &str) -> Result<Vec<Function>, DebugError> {
        Ok(Vec::new())
    }

    /// The names of functions most like `name`, best first, at most `limit`.
    pub fn nearest_functions(&self, _name: &str, _limit: usize) -> Vec<String> {
        Vec::new()
    }

    /// Reads a type, one level deep.
    ///
    /// # Errors
    /// [`DebugError`] when there is no type at that handle or it is malformed.
    pub fn ty(&self, _id: TypeId) -> Result<Type, DebugError> {
        Err(DebugError::Malformed("no type".to_owned()))
    }
}
